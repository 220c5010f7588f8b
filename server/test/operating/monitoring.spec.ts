/**
 * Proves that the dashboard and the alerts read metrics that are there, by labels that they have;
 * that each metric is in the documentation, and each alert has a part of it that says what to do;
 * and, where Prometheus is installed, that it takes the alerts and that they fire when they should.
 */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { Metrics } from '../../src/metrics/metrics.js';
import { serverProgram } from '../proxy/processes.js';
import {
  alertRules,
  dashboard,
  dashboardQueries,
  monitoringFile,
  type Query,
} from './monitoring.files.js';
import { metricsIn } from './promql.js';

interface Family {
  name: string;
  type: string;
  labelNames: string[];
}

const families = new Metrics().registry.getMetricsAsArray() as unknown as Family[];
const own = families.filter(({ name }) => name.startsWith('room_keys_'));
const [monitoring, runbook] = ['monitoring.md', 'runbook.md'].map((page) =>
  readFileSync(new URL(`../../../docs/${page}`, import.meta.url), 'utf8'),
) as [string, string];

/** What Prometheus adds itself. */
const ADDED_METRICS = ['up'];
const ADDED_LABELS = ['job', 'instance'];

/** The samples of each family, with their labels. */
const samples = new Map(
  families.flatMap(({ name, type, labelNames }): [string, string[]][] => {
    if (type !== 'histogram' && type !== 'summary') return [[name, labelNames]];
    const extra: [string, string[]] =
      type === 'histogram'
        ? [`${name}_bucket`, [...labelNames, 'le']]
        : [name, [...labelNames, 'quantile']];
    return [extra, [`${name}_sum`, labelNames], [`${name}_count`, labelNames]];
  }),
);

const alertQueries: Query[] = alertRules.map(({ alert, expr }) => ({ where: alert, expr }));

describe.each([
  ['dashboard', dashboardQueries],
  ['alerts', alertQueries],
])('the %s', (_, queries) => {
  it.each(queries.map(({ where, expr }) => [where, expr]))(
    '%s reads what there is: %s',
    (_w, expr) => {
      const uses = metricsIn(expr);
      expect(uses).not.toHaveLength(0);
      for (const { name, labels } of uses) {
        if (ADDED_METRICS.includes(name)) continue;
        expect([...samples.keys()]).toContain(name);
        const known = [...(samples.get(name) ?? []), ...ADDED_LABELS];
        expect(labels.filter((label) => !known.includes(label))).toEqual([]);
      }
    },
  );
});

describe('the dashboard', () => {
  it('shows each of our metrics, but for those that the documentation leaves out', () => {
    const shown = new Set(
      dashboardQueries.flatMap(({ expr }) => metricsIn(expr)).map(({ name }) => name),
    );
    const missing = own
      .map(({ name }) => name)
      .filter(
        (name) =>
          ![...shown].some((sample) => sample.replace(/_(?:bucket|sum|count)$/, '') === name),
      );
    expect(missing).toEqual([]);
  });

  it('has its panels listed in docs/monitoring.md, by row', () => {
    const rows: { title: string; titles: string[] }[] = [];
    for (const { type, title } of dashboard.panels) {
      if (type === 'row') rows.push({ title, titles: [] });
      else rows.at(-1)?.titles.push(title);
    }
    const list = rows.map(({ title, titles }) => `- ${title}: ${titles.join('; ')}\n`).join('');
    expect(monitoring).toContain(`\n\n${list}\n`);
  });

  it('has no panel without a query, and no number twice', () => {
    const panels = dashboard.panels.filter(({ type }) => type !== 'row');
    expect(panels.filter(({ targets = [] }) => targets.length === 0)).toEqual([]);
    expect(new Set(dashboard.panels.map(({ id }) => id)).size).toBe(dashboard.panels.length);
  });
});

describe('docs/monitoring.md', () => {
  it.each(own)('has $name, with its kind and its labels', ({ name, type, labelNames }) => {
    const [, kind, labels = ''] =
      new RegExp(`^- \\x60${name}\\x60 \\((\\w+)(?:; ([^)]*))?\\):`, 'm').exec(monitoring) ?? [];
    expect(kind).toBe(type);
    expect([...labels.matchAll(/`(\w+)`/g)].map(([, label]) => label)).toEqual(labelNames);
  });

  it.each([
    ['it', monitoring],
    ['the runbook', runbook],
  ])('%s has no metric that there is not', (_, page) => {
    const named = [...page.matchAll(/\broom_keys_[a-z_]+/g)].map(([name]) => name);
    const known = [...samples.keys(), ...own.map(({ name }) => name)];
    expect(named.filter((name) => !known.includes(name))).toEqual([]);
  });
});

describe('docs/runbook.md', () => {
  it.each(alertRules)('says what to do about $alert', ({ alert, annotations }) => {
    const [file, anchor] = annotations.runbook.split('#');
    expect(file).toBe('docs/runbook.md');
    const sections = runbook.split(/^## /m).slice(1);
    const section = sections.find((text) => {
      const [title = ''] = text.split('\n');
      return title.toLowerCase().replaceAll(' ', '-') === anchor;
    });
    expect(section).toContain(`\`${alert}\``);
    expect(section).toMatch(/\*\*Check/);
    expect(section).toMatch(/\*\*Act/);
  });
});

describe('the tests of the alerts', () => {
  const counters = [
    ...readFileSync(monitoringFile('alerts.test.yml'), 'utf8').matchAll(
      /series: '(\w+_total)\{(.*)\}'/g,
    ),
  ].map(([, name = '', labels = '']) => ({ name, labels }));

  it('have counters', () => {
    expect(counters.map(({ name }) => name)).toContain('room_keys_conflicts_total');
  });

  it.each(counters)('begin with what the server exports: $name{$labels}', async (counter) => {
    const labels = counter.labels.split(', ').filter((label) => !/^(job|instance)=/.test(label));
    const sample = labels.length > 0 ? `${counter.name}{${labels.join(',')}}` : counter.name;
    // those that begin later in its life have been there too
    expect(await new Metrics().registry.metrics()).toContain(`\n${sample} 0\n`);
  });
});

const promtool = serverProgram('promtool', 'prometheus');
(promtool === undefined ? describe.skip : describe)('Prometheus', () => {
  const run = (...parameters: string[]) => promisify(execFile)(promtool ?? '', parameters);

  it('takes the alerts', async () => {
    const { stdout } = await run('check', 'rules', monitoringFile('alerts.yml'));
    expect(stdout).toContain(`SUCCESS: ${alertRules.length} rules found`);
  });

  it('has each of them fire when it should, and not before', async () => {
    const tests = readFileSync(monitoringFile('alerts.test.yml'), 'utf8');
    for (const { alert } of alertRules) expect(tests).toContain(`alertname: ${alert}\n`);
    await run('test', 'rules', monitoringFile('alerts.test.yml'));
  });

  it('takes the configuration that the documentation shows', async () => {
    const { stdout } = await run('check', 'config', monitoringFile('prometheus.yml'));
    expect(stdout).toContain('prometheus.yml is valid prometheus config file syntax');
  });
});
