import { goals } from './goals.js';
import { neighboursTables } from './neighbours/report.js';
import type { Results } from './results.js';
import type { Phase } from './run.js';
import { megabytes, medianAndP99, milliseconds, ratio, table } from './table.js';

/** The results as tables of text, in Markdown. */
export function report(results: Results): string {
  const { machine, database, workers, warmUp, peer, large, neighbours, start } = results;
  const parts = [
    `Node ${machine.node}, ${database}, ${machine.cores} × ${machine.processor}, ${machine.date}` +
      (workers === 1 ? '' : `; ${workers} workers`) +
      `; warm-up of ${warmUp} s each` +
      (peer === undefined ? '' : `; peer: ${peer}`),
  ];
  if (results.phases.length > 0) parts.push(phasesTable(results.phases));
  if (large) parts.push(largeTable(large));
  if (neighbours) parts.push(neighboursTables(neighbours));
  if (start) parts.push(startTable(start));
  parts.push(goalsTable(results));
  return `\n${parts.join('\n\n')}\n`;
}

function phasesTable(phases: readonly Phase[]): string {
  const rows = phases.flatMap((phase) => {
    const { title, times, cpu, databaseCpu, firstByte, keysPerSecond } = phase;
    const row = (name: string, by: Phase['times'], processor: readonly string[]) => [
      name,
      ...[by.ours, by.before, by.floor, by.peer].map(medianAndP99),
      ratio(by.ours?.median, by.before?.median),
      ratio(by.ours?.median, by.floor?.median),
      ratio(by.peer?.median, by.ours?.median),
      ...processor,
    ];
    const processor = [cpu, databaseCpu].flatMap((by) => [
      milliseconds(by.ours),
      ratio(by.ours, by.before),
    ]);
    const all = [row(title, times, processor)];
    if (firstByte) all.push(row(`${title}: first byte`, firstByte, []));
    if (keysPerSecond) {
      const { ours, before, floor, peer } = keysPerSecond;
      const rates = [ours, before, floor, peer].map((rate) => rate?.toFixed(0) ?? '');
      const ratios = [ratio(before, ours), ratio(floor, ours), ratio(ours, peer)];
      all.push([`${title}: keys a second`, ...rates, ...ratios]);
    }
    return all;
  });
  return table(
    [
      'milliseconds: median / p99',
      'ours',
      'before',
      'floor',
      'peer',
      'as long as before',
      'as long as the floor',
      'as fast as the peer',
      'our CPU',
      'of before',
      'database CPU',
      'of before',
    ],
    rows,
  );
}

function largeTable({
  keys,
  series,
  upload,
  table: size,
  restores,
  delete: deleted,
  sweep,
}: NonNullable<Results['large']>): string {
  const at = keys.toLocaleString('en-GB');
  const [first] = series;
  const last = series.at(-1);
  const rows = [
    ['upload of 100 keys, first of the fill', milliseconds(first?.times.ours)],
    ['upload of 100 keys, last of the fill', milliseconds(last?.times.ours)],
    [`upload of 100 keys at ${at}`, milliseconds(upload.large)],
    ['upload of 100 keys into an empty backup, in turns with it', milliseconds(upload.empty)],
    ...(size
      ? [
          ['table: bytes a key', (size.data / keys).toFixed(0)],
          ['its index: bytes a key', (size.index / keys).toFixed(0)],
        ]
      : []),
    ...restores.flatMap(({ reader, rested, bytes, ms, firstByteMs, idle, peak }) => [
      [`restore, ${reader} reader, ${rested} s after the start: seconds`, (ms / 1000).toFixed(1)],
      [`restore, ${reader} reader, ${rested} s after the start: MB`, (bytes / 1e6).toFixed(0)],
      [
        `restore, ${reader} reader, ${rested} s after the start: first byte`,
        milliseconds(firstByteMs),
      ],
      [
        `restore, ${reader} reader, ${rested} s after the start: memory before, at most`,
        `${megabytes(idle)}, ${megabytes(peak)}`,
      ],
    ]),
    [`delete the backup of ${at} keys`, milliseconds(deleted.large)],
    ['delete an empty backup', milliseconds(deleted.empty)],
    ['sweep: seconds', sweep.seconds.toFixed(1)],
    ["another user's upload without it, median / p99", medianAndP99(sweep.calm)],
    ["another user's upload during it, median / p99", medianAndP99(sweep.sweeping)],
  ];
  return table([`a backup of ${at} keys`, 'milliseconds, or as said'], rows);
}

function startTable({
  ours,
  first,
  empty,
  rests,
  idle,
  idleEmpty,
}: NonNullable<Results['start']>): string {
  return table(
    ['start to first answer', 'milliseconds', ...rests.map((s) => `idle after ${s} s`)],
    [
      ['our server, SQLite', ours.toFixed(0), ...idle.map(megabytes)],
      ['our server, SQLite, database to be made', first.toFixed(0), ...rests.map(() => '')],
      ['an empty Nest application', empty.toFixed(0), ...idleEmpty.map(megabytes)],
    ],
  );
}

function goalsTable(results: Results): string {
  return table(
    ['goal', '', 'measured', ''],
    goals(results).map(({ what, goal, measured, reached, atItsSize }) => [
      what,
      goal,
      measured ?? '',
      reached === undefined
        ? 'not measured'
        : `${reached ? 'reached' : 'not reached'}${atItsSize ? '' : ', at another size'}`,
    ]),
  );
}
