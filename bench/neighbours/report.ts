import type { NeighboursResults, NeighboursSide } from '../neighbours.stage.js';
import { megabytes, milliseconds, ratio, table } from '../table.js';
import { REQUEST_TITLES, text } from './goals.js';
import { REQUESTS } from './others.js';
import type { Effect } from './samples.js';
import type { UploadsResults } from './uploads.case.js';

type Row = [title: string, ours: Effect, peer?: Effect | undefined];

/** The results of the stage as two tables: what other users notice, and what the busy user gets. */
export function neighboursTables(results: NeighboursResults): string {
  return [effectsTable(results), busyTable(results)].join('\n\n');
}

function effectsTable({ limited, ours, peer }: NeighboursResults): string {
  const uploads = ours.uploads.flatMap(({ connections, effects }, n) =>
    REQUESTS.map((request): Row => {
      const title = `${REQUEST_TITLES[request]} beside ${connections} open uploads`;
      return [title, effects[request], peer?.uploads[n]?.effects[request]];
    }),
  );
  const withLimits = REQUESTS.map((request): Row => {
    const title = `${REQUEST_TITLES[request]} beside ${limited.connections}, default rate limits`;
    return [title, limited.effects[request]];
  });
  const rows: Row[] = [
    ...uploads,
    ...withLimits,
    [
      `GET version beside the deletion of a room and 14 open uploads`,
      ours.deletion.version,
      peer?.deletion.version,
    ],
    [
      `restore of 1,000 keys beside ${ours.slowRestores.connections} slow ones`,
      ours.slowRestores.restore,
      peer?.slowRestores.restore,
    ],
    [
      `GET version of ${ours.manyUsers.users} users beside ${ours.manyUsers.uploads} uploads`,
      ours.manyUsers.version,
      peer?.manyUsers.version,
    ],
    ['the same, p99', atP99(ours.manyUsers.version), peer && atP99(peer.manyUsers.version)],
  ];
  const columns = (name: string) => [
    `${name}: alone, beside`,
    'times as long',
    'longest',
    'failed',
  ];
  return table(
    ['another user, median milliseconds', ...columns('ours'), ...(peer ? columns('peer') : [])],
    rows.map(([title, own, other]) => [
      title,
      ...cells(own),
      ...(peer ? (other ? cells(other) : ['', '', '', '']) : []),
    ]),
  );
}

const atP99 = ({ alone, busy }: Effect): Effect => ({
  alone: { ...alone, median: alone.p99 },
  busy: { ...busy, median: busy.p99 },
});

function cells({ alone, busy }: Effect): string[] {
  const isAnswered = busy.failures < busy.samples;
  return [
    `${milliseconds(alone.median)}, ${isAnswered ? milliseconds(busy.median) : 'none'}`,
    isAnswered ? ratio(busy.median, alone.median) : '',
    busy.longest.toFixed(0),
    `${busy.failures} of ${busy.samples}`,
  ];
}

function busyTable({ limited, ours, peer }: NeighboursResults): string {
  const row = (title: string, cell: (side: NeighboursSide) => string) => [
    title,
    cell(ours),
    ...(peer ? [cell(peer)] : []),
  ];
  const answers = ({ statuses }: UploadsResults | undefined = limited) => text(statuses);
  const seconds = (ms: number) => `${(ms / 1000).toFixed(2)} s`;
  const keys = (count: number) => `${count.toLocaleString('en-GB')} keys`;
  return table(
    ['the busy user', 'ours', ...(peer ? ['peer'] : [])],
    [
      ...ours.uploads.map(({ connections }, n) =>
        row(`answers to ${connections} open uploads`, ({ uploads }) => answers(uploads[n])),
      ),
      [
        `answers to ${limited.connections} open uploads, default rate limits`,
        answers(limited),
        ...(peer ? [''] : []),
      ],
      row(
        'deletion of a room beside 14 open uploads',
        ({ deletion: { keys: count, delete: deleted } }) =>
          `${keys(count)}: ${deleted.status}, ${seconds(deleted.ms)}`,
      ),
      row('answers to the 14 open uploads', ({ deletion }) => text(deletion.uploads)),
      ['readiness meanwhile', text(ours.deletion.ready ?? {}), ...(peer ? [''] : [])],
      row(
        'deletion of a room, alone',
        ({ room }) =>
          `${keys(room.keys)}: ${room.large.status}, ${milliseconds(room.large.ms)} ms; one key: ${milliseconds(room.one)} ms`,
      ),
      row(
        `answers to ${ours.slowRestores.connections} slow restores before the end`,
        ({ slowRestores }) => text(slowRestores.ended),
      ),
      ...ours.largeBodies.map(({ filling, bytes }, n) =>
        row(`a body of ${(bytes / 1e6).toFixed(0)} MB of ${filling}`, ({ largeBodies }) => {
          const body = largeBodies[n];
          if (!body) return '';
          const { status, ms, idle, peak, version } = body;
          const memory =
            idle === undefined || peak === undefined
              ? ''
              : `${megabytes(peak - idle)} over idle (${megabytes(idle)}), `;
          return `${status}, ${seconds(ms)}, ${memory}another user waits at most ${version.longest.toFixed(0)} ms`;
        }),
      ),
    ],
  );
}
