import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { json, startService } from '../../../test/homeserver/fake-service.js';
import { keyData, keyPath, MatrixClient, roomsBody } from '../../../test/support/matrix-client.js';

/** A homeserver whose tokens are the names of its users, and that does not know `stranger…`. */
export async function startHomeserver(port?: number) {
  return startService((response, { headers }) => {
    const [, user = ''] = /^Bearer (\w+)/.exec(headers.authorization ?? '') ?? [];
    const answer =
      user.startsWith('user') || user === 'busy'
        ? json(200, { user_id: `@${user}:hs1`, device_id: 'PHONE' })
        : json(401, { errcode: 'M_UNKNOWN_TOKEN', error: 'Unknown' });
    // about what a real one takes
    setTimeout(
      () => answer(response, { method: '', url: '', headers, body: '' }),
      4 + Math.random() * 6,
    );
  }, port);
}

const ROOMS = Array.from({ length: 20 }, (_, n) => `!room${n}:hs1`);
const KEY = keyData({
  session_data: { ephemeral: 'e'.repeat(43), ciphertext: 'c'.repeat(640), mac: 'm'.repeat(11) },
});

/** What clients do all day: each user asks for the version most of the time, uploads, restores, resets. */
export class Population {
  private stopped = false;
  private readonly work: Promise<void>[] = [];

  constructor(private readonly url: string) {}

  /**
   * Has users begin.
   *
   * @param pauseMs between two requests of a user, on average
   */
  begin(users: number, pauseMs: number): void {
    for (let n = 0; n < users; n++) this.work.push(this.live(`user${n}`, pauseMs));
  }

  async end(): Promise<void> {
    this.stopped = true;
    await Promise.all(this.work);
  }

  private async live(user: string, pauseMs: number): Promise<void> {
    const client = new MatrixClient(this.url, user);
    let version: string | undefined;
    let next = 0;
    while (!this.stopped) {
      const dice = Math.random();
      await this.quietly(async () => {
        if (version === undefined) {
          version = await client.createBackup();
        } else if (dice < 0.45) {
          await client.get('/version');
        } else if (dice < 0.8) {
          // both devices of the user have the same new keys
          const keys = batch(next, 100);
          const answers = await Promise.all([
            this.upload(client, version, keys),
            this.upload(client, version, keys),
          ]);
          if (answers.every((status) => status === 200)) next += 100;
        } else if (dice < 0.85) {
          await this.upload(
            client,
            version,
            batch(Math.max(0, next - 50), 50, { is_verified: true }),
          );
        } else if (dice < 0.93) {
          await client.get(`${keyPath(ROOMS[0]!, 's0')}?version=${version}`);
        } else if (dice < 0.96) {
          await client.get(`/keys?version=${version}`);
        } else if (dice < 0.97) {
          await this.leave(user, version);
        } else if (dice < 0.985) {
          await new MatrixClient(this.url, `stranger${next}`).get('/version');
        } else {
          await client.delete(`/version/${version}`);
          version = undefined;
          next = 0;
        }
      });
      await sleep(Math.random() * 2 * pauseMs);
    }
  }

  private async upload(client: MatrixClient, version: string, keys: object): Promise<number> {
    return (await client.put(`/keys?version=${version}`, keys)).status;
  }

  /** Begins a restore, and goes away. */
  private leave(user: string, version: string): Promise<void> {
    const { hostname, port } = new URL(this.url);
    return new Promise((resolve) => {
      const socket = connect(Number(port), hostname);
      socket.once('error', () => {
        resolve();
      });
      socket.once('data', () => {
        socket.destroy();
        resolve();
      });
      socket.write(
        `GET /_matrix/client/v3/room_keys/keys?version=${version} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${user}\r\n\r\n`,
      );
    });
  }

  /** A server that is away is what this is about. */
  private async quietly(work: () => Promise<unknown>): Promise<void> {
    try {
      await work();
    } catch {
      await sleep(200);
    }
  }
}

function batch(from: number, count: number, fields: object = {}): object {
  return roomsBody(
    Array.from(
      { length: count },
      (_, n) => [ROOMS[n % ROOMS.length]!, `s${from + n}`, { ...KEY, ...fields }] as const,
    ),
  );
}
