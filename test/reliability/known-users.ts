import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/** Somebody who may ask. */
export interface KnownUser {
  token: string;
  name: string;
}

/** A homeserver that knows whose a token is, and nothing else: each test can have users of its own. */
export class KnownUsers {
  private readonly names = new Map<string, string>();

  private constructor(private readonly server: Server) {}

  static async start(): Promise<KnownUsers> {
    const server = createServer((request, response) => {
      const token = request.headers.authorization?.replace(/^Bearer /, '') ?? '';
      const name = users.nameOf(token);
      response.writeHead(name === undefined ? 401 : 200, { 'Content-Type': 'application/json' });
      response.end(
        JSON.stringify(
          name === undefined
            ? { errcode: 'M_UNKNOWN_TOKEN', error: 'Nobody has this token.' }
            : { user_id: `@${name}:hs1`, device_id: 'PHONE' },
        ),
      );
    }).listen(0, '127.0.0.1');
    const users = new KnownUsers(server);
    await once(server, 'listening');
    return users;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  nameOf(token: string): string | undefined {
    return this.names.get(token);
  }

  /** One who never had a backup. */
  newUser(): KnownUser {
    const name = `fuzz-${this.names.size}`;
    const token = `syt_${randomBytes(12).toString('hex')}`;
    this.names.set(token, name);
    return { token, name };
  }

  async close(): Promise<void> {
    const closed = once(this.server, 'close');
    this.server.close();
    this.server.closeAllConnections();
    await closed;
  }
}
