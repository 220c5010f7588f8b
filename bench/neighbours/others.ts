import { check } from '../contestant.js';
import type { Homeserver, HomeserverBackup } from '../homeserver.js';
import type { HttpClient } from '../http-client.js';
import { BATCH, KeySource } from '../keys.js';
import { allRooms } from '../wire.js';
import { filledBackup } from './fill.js';
import { type Attempt, attempt, type Effect, Samples } from './samples.js';

/** Users of the bench by what they do. */
export const USERS = { busy: 0, secondBusy: 1, reader: 2, uploader: 3 } as const;

/** The requests of other users. */
export const REQUESTS = ['version', 'upload', 'restore'] as const;
export type Request = (typeof REQUESTS)[number];

const RESTORED_KEYS = 1000;
/** `GET version` is far more frequent than anything else. */
const VERSIONS_A_ROUND = 3;
const ROUNDS = 60;
/** As many as are measured however long they take. */
const LEAST_ROUNDS = 2;
/** Real clients give up after half a minute. */
const TIMEOUT_MS = 30_000;

export type Measured = Record<Request, Samples>;

/** Users with small backups who do what most clients do, one request at a time. */
export class Others {
  private readonly reader: HttpClient;
  private readonly uploader: HttpClient;
  private readonly source = new KeySource('uploader');
  private uploaded = 0;
  private restoredBytes: number | undefined;

  private constructor(
    homeserver: Homeserver,
    private readonly read: HomeserverBackup,
    private readonly written: HomeserverBackup,
  ) {
    this.reader = homeserver.connect(USERS.reader, { timeoutMs: TIMEOUT_MS });
    this.uploader = homeserver.connect(USERS.uploader, { timeoutMs: TIMEOUT_MS });
  }

  static async create(homeserver: Homeserver): Promise<Others> {
    const source = new KeySource('reader');
    const read = await filledBackup(homeserver, USERS.reader, source, RESTORED_KEYS);
    return new Others(homeserver, read, await homeserver.createBackup(USERS.uploader));
  }

  static samples(): Measured {
    return { version: new Samples(), upload: new Samples(), restore: new Samples() };
  }

  /** Sends some rounds of each request. Stops early, but for the first rounds, after `seconds`. */
  async measure(seconds: number, measured: Measured): Promise<void> {
    const end = performance.now() + seconds * 1000;
    for (let n = 0; n < ROUNDS && (n < LEAST_ROUNDS || performance.now() < end); n++) {
      for (let m = 0; m < VERSIONS_A_ROUND; m++) measured.version.add(await this.version());
      measured.upload.add(await this.upload());
      measured.restore.add(await this.restore());
    }
  }

  version(): Promise<Attempt> {
    return attempt(this.reader, 'GET', '/version');
  }

  async restore(): Promise<Attempt> {
    const answer = await attempt(this.reader, 'GET', `/keys?version=${this.read.version}`);
    if (answer.status === '200') {
      const bytes = answer.body.reduce((sum, { length }) => sum + length, 0);
      this.restoredBytes ??= bytes;
      check(bytes === this.restoredBytes, () => `a restore of ${bytes} bytes`);
    }
    return answer;
  }

  async delete(): Promise<void> {
    this.reader.close();
    this.uploader.close();
    await this.read.delete();
    await this.written.delete();
  }

  private upload(): Promise<Attempt> {
    const keys = this.source.batch(this.uploaded);
    this.uploaded += BATCH;
    const body = Buffer.from(JSON.stringify(allRooms(keys)));
    return attempt(this.uploader, 'PUT', `/keys?version=${this.written.version}`, body);
  }
}

export function effects(alone: Measured, busy: Measured): Record<Request, Effect> {
  const effect = (request: Request): Effect => ({
    alone: alone[request].observed,
    busy: busy[request].observed,
  });
  return { version: effect('version'), upload: effect('upload'), restore: effect('restore') };
}
