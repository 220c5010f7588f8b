import type { dashboard } from './monitoring.files.js';
import type { Series } from './prometheus-server.js';

type Panel = (typeof dashboard.panels)[number] & {
  gridPos: { x: number; y: number; w: number; h: number };
  fieldConfig?: {
    defaults: {
      unit?: string;
      max?: number;
      custom?: { stacking: { mode: string }; fillOpacity: number };
      thresholds?: { steps: { color: string; value: number | null }[] };
      mappings?: { options: Record<string, { text: string; color: string }> }[];
    };
  };
  options?: { textMode?: string };
};

/** A panel with what its queries returned. */
export interface Drawn {
  panel: Panel;
  series: { name: string; values: Map<number, number> }[];
}

const WIDTH = 1600;
const COLUMN = WIDTH / 24;
const ROW = 30;
const GAP = 8;
const COLORS = [
  '#73bf69',
  '#f2cc0c',
  '#5794f2',
  '#ff780a',
  '#f2495c',
  '#b877d9',
  '#8ab8ff',
  '#c0d8ff',
  '#96d98d',
  '#ffb357',
  '#e0b400',
  '#37872d',
  '#1f60c4',
  '#fa6400',
];
const NAMED: Record<string, string> = {
  green: '#299c46',
  red: '#c4162a',
  orange: '#d9730d',
  blue: '#1f60c4',
};

/** What Grafana puts in place of `{{label}}`. */
export function legend(format: string, { metric }: Series): string {
  return format.replaceAll(/\{\{(\w+)\}\}/g, (_, label: string) => metric[label] ?? '');
}

/**
 * Draws panels in the places, the colours and the units that the dashboard gives them.
 *
 * @param times the points in time, in seconds
 * @param marks spans of time that have a name
 */
export function drawDashboard(
  drawn: readonly Drawn[],
  times: readonly number[],
  marks: readonly { from: number; to: number; name: string }[],
): string {
  const height =
    Math.max(...drawn.map(({ panel: { gridPos } }) => gridPos.y + gridPos.h)) * ROW + GAP;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH + GAP}" height="${height}" font-family="Inter, 'DejaVu Sans', sans-serif" font-size="11">`,
    `<rect width="100%" height="100%" fill="#111217"/>`,
    ...drawn.map((one) => drawPanel(one, times, marks)),
    '</svg>',
  ].join('\n');
}

function drawPanel(
  one: Drawn,
  times: readonly number[],
  marks: Parameters<typeof drawDashboard>[2],
): string {
  const { gridPos, type, title } = one.panel;
  const [x, y] = [gridPos.x * COLUMN + GAP, gridPos.y * ROW + GAP];
  const [w, h] = [gridPos.w * COLUMN - GAP, gridPos.h * ROW - GAP];
  if (type === 'row')
    return `<text x="${x}" y="${y + 16}" fill="#ccccdc" font-size="14" font-weight="bold">${escaped(title)}</text>`;
  const body = type === 'stat' ? stat(one, w, h) : graph(one, w, h, times, marks);
  return `<g transform="translate(${x} ${y})">${body}</g>`;
}

function stat({ panel, series }: Drawn, w: number, h: number): string {
  const defaults = panel.fieldConfig?.defaults ?? {};
  const [first] = series;
  const value = [...(first?.values.values() ?? [])].at(-1);
  const mapped = value === undefined ? undefined : defaults.mappings?.[0]?.options[String(value)];
  const step = defaults.thresholds?.steps.findLast(
    ({ value: from }) => from === null || (value ?? 0) >= from,
  );
  const color = NAMED[mapped?.color ?? step?.color ?? ''] ?? '#3b3b4f';
  const text =
    panel.options?.textMode === 'name'
      ? first?.name
      : (mapped?.text ?? shown(value, defaults.unit));
  return [
    `<rect width="${w}" height="${h}" rx="3" fill="${value === undefined ? '#3b3b4f' : color}"/>`,
    `<text x="10" y="20" fill="#fff" font-size="12">${escaped(panel.title)}</text>`,
    `<text x="${w / 2}" y="${h / 2 + 18}" fill="#fff" font-size="26" text-anchor="middle">${escaped(text ?? 'no data')}</text>`,
  ].join('');
}

function graph(
  { panel, series }: Drawn,
  w: number,
  h: number,
  times: readonly number[],
  marks: Parameters<typeof drawDashboard>[2],
): string {
  const { unit, max, custom } = panel.fieldConfig?.defaults ?? {};
  const stacked = custom?.stacking.mode === 'normal';
  const lines = heaped(series, times, stacked);
  const [left, top, right, bottom] = [58, 32, 12, 22 + legendRows(series, w) * 16];
  const [width, tall] = [w - left - right, h - top - bottom];
  const values = lines.flatMap(({ points }) => points.map(({ high }) => high));
  const most = max ?? rounded(Math.max(...values.filter(Number.isFinite), 0) * 1.05);
  const [begin = 0, end = 1] = [times[0], times.at(-1)];
  const across = (time: number) => left + ((time - begin) / (end - begin)) * width;
  const up = (value: number) => top + tall - (Math.min(value, most) / most) * tall;

  const svg = [
    `<rect width="${w}" height="${h}" rx="3" fill="#181b1f" stroke="#2c2f34"/>`,
    `<text x="10" y="20" fill="#ccccdc" font-size="12" font-weight="bold">${escaped(panel.title)}</text>`,
  ];
  for (const { from, to, name } of marks) {
    const middle = across((from + to) / 2);
    svg.push(
      `<rect x="${across(from)}" y="${top}" width="${across(to) - across(from)}" height="${tall}" fill="#f2495c" opacity="0.12"/>`,
    );
    // where there is room for it
    if (w > WIDTH / 3)
      svg.push(
        `<text x="${middle}" y="${top + 12}" fill="#f2838f" text-anchor="middle">${escaped(name)}</text>`,
      );
  }
  for (let n = 0; n <= 4; n++) {
    const value = (most * n) / 4;
    svg.push(
      `<line x1="${left}" x2="${w - right}" y1="${up(value)}" y2="${up(value)}" stroke="#2c2f34"/>`,
      `<text x="${left - 6}" y="${up(value) + 4}" fill="#9a9aac" text-anchor="end">${shown(value, unit)}</text>`,
    );
  }
  const minute = 60;
  const every = end - begin > 8 * minute ? 2 * minute : minute;
  for (let time = begin; time <= end; time += every)
    svg.push(
      `<text x="${across(time)}" y="${top + tall + 15}" fill="#9a9aac" text-anchor="${time + every > end ? 'end' : 'middle'}">${Math.round((time - begin) / minute)} min</text>`,
    );
  lines.forEach(({ points }, index) => {
    const color = COLORS[index % COLORS.length];
    for (const run of unbroken(points)) {
      const upper = run.map(({ time, high }) => `${round(across(time))},${round(up(high))}`);
      const lower = run
        .map(({ time, low }) => `${round(across(time))},${round(up(low))}`)
        .reverse();
      const fill = (custom?.fillOpacity ?? 0) / 100;
      if (fill > 0)
        svg.push(
          `<polygon points="${[...upper, ...lower].join(' ')}" fill="${color}" opacity="${fill}"/>`,
        );
      svg.push(
        `<polyline points="${upper.join(' ')}" fill="none" stroke="${color}" stroke-width="1.4"/>`,
      );
    }
  });
  svg.push(...legends(series, w, h));
  if (lines.length === 0)
    svg.push(`<text x="${w / 2}" y="${h / 2}" fill="#9a9aac" text-anchor="middle">none</text>`);
  return svg.join('');
}

interface Point {
  time: number;
  low: number;
  high: number;
}

/** Each series over nought, or over those before it. */
function heaped(
  series: Drawn['series'],
  times: readonly number[],
  stacked: boolean,
): { points: Point[] }[] {
  const below = new Map<number, number>();
  return series.map(({ values }) => ({
    points: times.map((time) => {
      const value = values.get(time) ?? NaN;
      const low = stacked ? (below.get(time) ?? 0) : 0;
      const high = low + value;
      if (stacked && Number.isFinite(value)) below.set(time, high);
      return { time, low, high };
    }),
  }));
}

/** The stretches that have values. */
function unbroken(points: readonly Point[]): Point[][] {
  const runs: Point[][] = [[]];
  for (const point of points) {
    if (Number.isFinite(point.high)) runs.at(-1)?.push(point);
    else if (runs.at(-1)?.length) runs.push([]);
  }
  return runs.filter(({ length }) => length > 0);
}

const LETTER = 6.4;

function legendRows(series: Drawn['series'], w: number): number {
  return placed(series, w).at(-1)?.row ?? 0;
}

function placed(series: Drawn['series'], w: number): { x: number; row: number; name: string }[] {
  let [x, row] = [12, 1];
  return series.map(({ name }) => {
    const wide = name.length * LETTER + 30;
    if (x + wide > w) [x, row] = [12, row + 1];
    const place = { x, row, name };
    x += wide;
    return place;
  });
}

function legends(series: Drawn['series'], w: number, h: number): string[] {
  const rows = legendRows(series, w);
  return placed(series, w).map(({ x, row, name }, index) => {
    const y = h - 8 - (rows - row) * 16;
    return `<line x1="${x}" x2="${x + 12}" y1="${y - 4}" y2="${y - 4}" stroke="${COLORS[index % COLORS.length]}" stroke-width="3"/><text x="${x + 17}" y="${y}" fill="#ccccdc">${escaped(name)}</text>`;
  });
}

/** The next of 1, 2, 5, 10 and so on. */
function rounded(value: number): number {
  if (value <= 0) return 1;
  const size = 10 ** Math.floor(Math.log10(value));
  return ([1, 2, 4, 5, 8, 10].find((step) => step * size >= value) ?? 10) * size;
}

function shown(value: number | undefined, unit = 'short'): string {
  if (value === undefined || Number.isNaN(value)) return '–';
  const number = (n: number) => String(Number(n.toPrecision(3)));
  switch (unit) {
    case 'percentunit':
      return `${number(value * 100)} %`;
    case 's':
      return value === 0 || value >= 1 ? `${number(value)} s` : `${number(value * 1000)} ms`;
    case 'bytes':
    case 'Bps': {
      const step = value >= 1e6 ? 1e6 : value >= 1e3 ? 1e3 : 1;
      const letter = { 1e6: 'MB', 1e3: 'kB', 1: 'B' }[step];
      return `${number(value / step)} ${letter}${unit === 'Bps' ? '/s' : ''}`;
    }
    case 'reqps':
    case 'cps':
      return `${number(value)}/s`;
    default:
      return value >= 10_000 ? `${number(value / 1000)} k` : number(value);
  }
}

const round = (value: number) => Math.round(value * 10) / 10;
const escaped = (text: string) =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
