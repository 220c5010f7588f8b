import { existsSync, readFileSync } from 'node:fs';
import { Command, InvalidArgumentError } from 'commander';
import { SERVERS } from './database.js';
import { BATCH } from './keys.js';
import type { NeighboursSizes } from './neighbours.stage.js';

const BY_DEFAULT = ['compare', 'crowd', 'delay', 'large', 'neighbours', 'start'] as const;
export const STAGES = [...BY_DEFAULT, 'users'] as const;
export type Stage = (typeof STAGES)[number];

/** What the command line says. */
export interface Options {
  database: URL;
  /** How many processes serve. */
  workers: number;
  keys: number;
  large: number;
  /** Of all users together. */
  usersKeys: number;
  peerLarge: number;
  peer: { url: string; name: string; tokens: string[] } | undefined;
  stages: readonly Stage[];
  neighbours: NeighboursSizes;
  /** Seconds. */
  warmUp: number;
  /** Seconds. */
  rest: number;
  json: string | undefined;
  plot: string | undefined;
  profile: string | undefined;
  /** Folder of an earlier build. */
  before: string | undefined;
}

interface Given {
  database: URL;
  workers: number;
  keys: number;
  large?: number;
  usersKeys: number;
  peerLarge?: number;
  peer?: string;
  peerName: string;
  peerTokens?: string[];
  stages: Stage[];
  room?: number;
  largeRoom?: number;
  peerRoom: number;
  slowBackup: number;
  measure: number;
  warmUp: number;
  rest: number;
  json?: string;
  plot?: string;
  profile?: string;
  before?: string;
}

export function readOptions(argv: readonly string[]): Options {
  const command = new Command('npm run bench --')
    .description(
      'Measures the server, as it is built, on a real database: against what the database itself takes, and against another homeserver.',
    )
    .requiredOption(
      '--database <url>',
      "'sqlite' or 'sqlite:FOLDER'; 'mysql://user:password@host:3306/', 'mariadb://…' or 'postgres://…', where the user may create databases",
      database,
    )
    .option('--workers <count>', 'processes that serve; one with SQLite', whole, 1)
    .option('--keys <count>', 'keys in a backup that is compared', keys, 100_000)
    .option('--large <count>', 'keys in a large one (default: ten times as many)', keys)
    .option('--users-keys <count>', 'users: keys in the whole database', keys, 10_000_000)
    .option('--peer <url>', 'another homeserver with the key backup API, which does the same work')
    .option(
      '--peer-tokens <file or tokens>',
      'access tokens at the peer, of 16 users: a file or a text, a line each, of which the last word counts',
      tokens,
    )
    .option(
      '--peer-large <count>',
      'keys at which the peer leaves the fill of the large backup (default: three times --keys)',
      keys,
    )
    .option('--peer-name <name>', 'what the plot calls the peer', 'the peer')
    .option('--stages <list>', `some of ${STAGES.join(',')}`, stages, [...BY_DEFAULT])
    .option(
      '--room <count>',
      'neighbours: keys of a room that is deleted beside others (default: 200000; 20000 with SQLite)',
      keys,
    )
    .option(
      '--large-room <count>',
      'neighbours: keys of a room whose deletion is timed (default: 1000000; 200000 with SQLite)',
      keys,
    )
    .option('--peer-room <count>', 'neighbours: keys of both rooms at the peer', keys, 20_000)
    .option(
      '--slow-backup <count>',
      'neighbours: keys of each backup that is read slowly',
      keys,
      20_000,
    )
    .option(
      '--measure <seconds>',
      'neighbours: longest time for one measurement beside open uploads',
      whole,
      15,
    )
    .option(
      '--warm-up <seconds>',
      'for how long each of them works before it is measured',
      whole,
      60,
    )
    .option(
      '--rest <seconds>',
      'after how long without work the memory of the server is looked at once more',
      whole,
      120,
    )
    .option('--before <folder>', 'an earlier build of this server, which does the same work')
    .option('--json <file>', 'write the results to a file')
    .option('--plot <file>', 'draw the time of an upload by keys already stored, as SVG')
    .option('--profile <folder>', 'have the server write profiles of its processor time there');
  const given = command.parse(argv, { from: 'user' }).opts<Given>();
  if ((given.peer === undefined) !== (given.peerTokens === undefined)) {
    command.error('--peer and --peer-tokens go together: write both.');
  }
  if (given.workers > 1 && given.database.protocol === 'sqlite:') {
    command.error('SQLite is for one process: leave --workers out, or write another --database.');
  }
  const isSqlite = given.database.protocol === 'sqlite:';
  return {
    database: given.database,
    workers: given.workers,
    keys: given.keys,
    large: given.large ?? given.keys * 10,
    usersKeys: given.usersKeys,
    peerLarge: given.peerLarge ?? given.keys * 3,
    peer:
      given.peer === undefined
        ? undefined
        : { url: given.peer, name: given.peerName, tokens: given.peerTokens ?? [] },
    stages: given.stages,
    neighbours: {
      room: given.room ?? (isSqlite ? 20_000 : 200_000),
      largeRoom: given.largeRoom ?? (isSqlite ? 200_000 : 1_000_000),
      peerRoom: given.peerRoom,
      slowBackup: given.slowBackup,
      seconds: given.measure,
    },
    warmUp: given.warmUp,
    rest: given.rest,
    json: given.json,
    plot: given.plot,
    profile: given.profile,
    before: given.before,
  };
}

function database(text: string): URL {
  const url = text === 'sqlite' ? new URL('sqlite:') : URL.canParse(text) ? new URL(text) : null;
  if (!url || !['sqlite:', ...SERVERS].includes(url.protocol)) {
    throw new InvalidArgumentError(
      "Write 'sqlite', 'mysql://user:password@127.0.0.1:3306/' or 'postgres://user:password@127.0.0.1:5432/'.",
    );
  }
  return url;
}

function whole(text: string): number {
  const count = Number(text);
  if (!(Number.isInteger(count) && count > 0)) {
    throw new InvalidArgumentError('Write a whole number above 0.');
  }
  return count;
}

function keys(text: string): number {
  const count = Number(text);
  // the fifth that is replaced in the middle is whole batches too
  const step = 50 * BATCH;
  if (!(Number.isInteger(count) && count > 0 && count % step === 0)) {
    throw new InvalidArgumentError(`Write a multiple of ${step}.`);
  }
  return count;
}

function tokens(text: string): string[] {
  const lines = existsSync(text) ? readFileSync(text, 'utf8') : text;
  return lines
    .split(/[\n,]/)
    .map((line) => line.trim().split(/\s+/).at(-1) ?? '')
    .filter((token) => token !== '');
}

function stages(text: string): Stage[] {
  const names = text.split(',');
  const unknown = names.find((name) => !STAGES.includes(name as Stage));
  if (unknown !== undefined) throw new InvalidArgumentError(`Unknown stage '${unknown}'.`);
  return names as Stage[];
}
