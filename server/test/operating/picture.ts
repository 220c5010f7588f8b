// Makes the picture of the dashboard: a run of ten minutes with a homeserver and a database that go
// away in the middle, read by a real Prometheus and drawn as the dashboard says, since Grafana is
// not in Debian. DATABASE_URL=mysql://… npx tsx test/operating/picture.ts
import { writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { findBrowser, launchBrowser } from '../browser/swagger-ui.page.js';
import { serverProgram } from '../proxy/processes.js';
import { layCable } from './cable.js';
import { dashboard, filledIn } from './monitoring.files.js';
import { type Drawn, drawDashboard, legend } from './panels.js';
import { Population, startHomeserver } from './population.js';
import { PrometheusServer } from './prometheus-server.js';
import { build, ServerProcess } from './server-process.js';

const PICTURE = fileURLToPath(new URL('../../../docs/images/dashboard.png', import.meta.url));
const SCRAPE_S = 5;
const STEP_S = 5;

const { DATABASE_URL, SVG } = process.env;
if (DATABASE_URL === undefined) throw new Error('Write DATABASE_URL=mysql://…, an empty database.');
const program = serverProgram('prometheus', 'prometheus');
if (program === undefined) process.exit(1);
const browserPath = findBrowser();
if (!browserPath) throw new Error('Install chromium or set CHROMIUM_PATH=/path/to/chromium');

const seconds = () => Date.now() / 1000;
const minutes = (count: number) => sleep(count * 60_000);

await build();
const cable = await layCable(DATABASE_URL);
const homeserver = await startHomeserver();
const server = new ServerProcess({
  DATABASE_URL: cable.url,
  HOMESERVER_URL: homeserver.url,
  TOKEN_CACHE_TTL_MS: '10000',
  RATE_LIMIT_READS_PER_SECOND: '10',
  RATE_LIMIT_READS_BURST: '60',
});
const { url, metrics } = await server.serving();
const prometheus = await PrometheusServer.start(program, new URL(metrics).host, SCRAPE_S);
try {
  const population = new Population(url);
  const begun = seconds();
  const marks: { from: number; to: number; name: string }[] = [];
  const during = async (name: string, forMinutes: number) => {
    const from = seconds();
    await minutes(forMinutes);
    marks.push({ from, to: seconds(), name });
  };

  population.begin(30, 500);
  await minutes(3);
  const { answer } = homeserver;
  homeserver.answer = (response) => response.writeHead(503).end();
  await during('the homeserver is away', 1);
  homeserver.answer = answer;
  await minutes(1.5);
  cable.pull();
  await during('the database is away', 0.75);
  cable.putBack();
  await minutes(1.25);
  await population.hurry(60_000);
  await minutes(1.5);
  await population.end();

  const end = Math.floor(seconds() / STEP_S) * STEP_S;
  const start = Math.ceil(begun / STEP_S) * STEP_S;
  const times = Array.from({ length: (end - start) / STEP_S + 1 }, (_, n) => start + n * STEP_S);
  const drawn: Drawn[] = [];
  for (const panel of dashboard.panels) {
    const series: Drawn['series'] = [];
    for (const { expr, legendFormat } of panel.targets ?? []) {
      for (const one of await prometheus.range(filledIn(expr, '30s'), start, end, STEP_S)) {
        const values = new Map(one.values.map(([time, value]) => [time, Number(value)]));
        series.push({ name: legend(legendFormat, one), values });
      }
    }
    drawn.push({ panel: panel as Drawn['panel'], series });
  }
  const svg = drawDashboard(drawn, times, marks);
  if (SVG !== undefined) writeFileSync(SVG, svg);
  const browser = await launchBrowser(browserPath);
  try {
    const page = await browser.newPage({ viewport: { width: 1608, height: 1000 } });
    await page.setContent(`<style>body { margin: 0 } svg { display: block }</style>${svg}`);
    await page.screenshot({ path: PICTURE, fullPage: true });
  } finally {
    await browser.close();
  }
  for (const { labels, state } of await prometheus.alerts()) console.log(state, labels.alertname);
  console.log(server.lines.filter(({ context }) => context === 'Conflict').length, 'conflicts');
} finally {
  await prometheus.stop();
  await server.stop();
  await homeserver.close();
  await cable.close();
}
