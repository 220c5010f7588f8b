import type { LargeResults } from './large.stage.js';
import type { Homeserver } from './homeserver.js';

const WIDTH = 720;
const HEIGHT = 340;
const LEFT = 56;
const RIGHT = 24;
const TOP = 48;
const BOTTOM = 48;

const LABELS: Record<Homeserver['name'], string> = { ours: 'this server', peer: 'the peer' };

/** The time of an upload of 100 keys against the keys that are stored already, as SVG. */
export function plot({ keys, series }: LargeResults, peerName = LABELS.peer): string {
  const most = Math.max(...series.flatMap(({ times }) => Object.values(times)));
  const yStep = step(most, 5);
  const yMost = Math.ceil(most / yStep) * yStep;
  const x = (stored: number) => LEFT + (stored / keys) * (WIDTH - LEFT - RIGHT);
  const y = (ms: number) => HEIGHT - BOTTOM - (ms / yMost) * (HEIGHT - TOP - BOTTOM);

  const lines = (['peer', 'ours'] as const).flatMap((name) => {
    const points = series.flatMap(({ stored, times }) => {
      const ms = times[name];
      return ms === undefined ? [] : [{ stored, ms }];
    });
    const last = points.at(-1);
    if (!last) return [];
    const path = points.map(({ stored, ms }) => `${round(x(stored))},${round(y(ms))}`).join(' ');
    const ends = last.stored > keys * 0.7;
    const label = `${name === 'peer' ? peerName : LABELS.ours}, ${last.ms.toFixed(0)} ms`;
    return [
      `<polyline class="${name}" points="${path}"/>`,
      `<circle class="${name}" cx="${round(x(last.stored))}" cy="${round(y(last.ms))}" r="3"/>`,
      `<text class="${name}" x="${round(x(last.stored) + (ends ? 0 : 8))}" y="${round(y(last.ms) + (ends ? -10 : 4))}"${ends ? ' text-anchor="end"' : ''}>${escaped(label)}</text>`,
    ];
  });
  const horizontal = ticks(yMost, yStep).flatMap((ms) => [
    `<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${round(y(ms))}" y2="${round(y(ms))}"/>`,
    `<text x="${LEFT - 8}" y="${round(y(ms) + 4)}" text-anchor="end">${ms}</text>`,
  ]);
  const vertical = ticks(keys, step(keys, 5)).map(
    (stored) =>
      `<text x="${round(x(stored))}" y="${HEIGHT - BOTTOM + 18}" text-anchor="middle">${stored.toLocaleString('en-GB')}</text>`,
  );
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="Time of an upload of 100 keys against the keys that are stored already">`,
    '<style>',
    'text{font:12px system-ui,sans-serif;fill:#57606a}.title{font-size:14px;font-weight:600;fill:#1f2328}',
    '.grid{stroke:#d0d7de}polyline{fill:none;stroke-width:2}',
    'polyline.ours{stroke:#0969da}circle.ours,text.ours{fill:#0969da}',
    'polyline.peer{stroke:#bc4c00}circle.peer,text.peer{fill:#bc4c00}',
    '@media(prefers-color-scheme:dark){text{fill:#9198a1}.title{fill:#f0f6fc}.grid{stroke:#3d444d}',
    'polyline.ours{stroke:#4493f8}circle.ours,text.ours{fill:#4493f8}',
    'polyline.peer{stroke:#f0883e}circle.peer,text.peer{fill:#f0883e}}',
    '</style>',
    `<text class="title" x="${LEFT}" y="20">Upload of 100 keys, median milliseconds</text>`,
    ...horizontal,
    ...vertical,
    `<text x="${(LEFT + WIDTH - RIGHT) / 2}" y="${HEIGHT - 10}" text-anchor="middle">keys already stored in the backup</text>`,
    ...lines,
    '</svg>',
  ].join('\n')}\n`;
}

/** A round step that gives about so many. */
function step(most: number, count: number): number {
  const rough = most / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough) ?? rough;
}

function ticks(most: number, by: number): number[] {
  return Array.from({ length: Math.round(most / by) + 1 }, (_, n) => n * by);
}

const round = (n: number) => Math.round(n * 10) / 10;
const escaped = (text: string) =>
  text.replace(/[&<>]/g, (c) => (c === '&' ? '&amp;' : c === '<' ? '&lt;' : '&gt;'));
