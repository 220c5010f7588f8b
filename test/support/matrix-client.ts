/** An answer of the API. */
export interface Answer {
  status: number;
  headers: Headers;
  text: string;
  /** The JSON of the body. The tests assert what it is. */
  body: any; // eslint-disable-line @typescript-eslint/no-explicit-any -- whatever the server answered
}

/** Calls the operations as a Matrix client does. */
export class MatrixClient {
  constructor(
    readonly url: string,
    private readonly token: string | undefined,
    private readonly prefix = '/_matrix/client/v3/room_keys',
  ) {}

  get(path: string) {
    return this.send('GET', path);
  }

  delete(path: string) {
    return this.send('DELETE', path);
  }

  put(path: string, body: unknown) {
    return this.send('PUT', path, JSON.stringify(body));
  }

  post(path: string, body: unknown) {
    return this.send('POST', path, JSON.stringify(body));
  }

  /** @param body sent as it is */
  async send(
    method: string,
    path: string,
    body?: string | Uint8Array<ArrayBuffer>,
    headers: Record<string, string> = { 'Content-Type': 'application/json' },
  ): Promise<Answer> {
    const response = await fetch(`${this.url}${this.prefix}${path}`, {
      method,
      headers: {
        ...(this.token === undefined ? {} : { Authorization: `Bearer ${this.token}` }),
        ...(body === undefined ? {} : headers),
      },
      ...(body === undefined ? {} : { body }),
    });
    const text = await response.text();
    const isJson = response.headers.get('content-type')?.startsWith('application/json');
    return {
      status: response.status,
      headers: response.headers,
      text,
      body: isJson ? JSON.parse(text) : undefined,
    };
  }

  /** Creates a backup; returns its version id. */
  async createBackup(authData: object = { public_key: 'abc' }): Promise<string> {
    const { body } = await this.post('/version', {
      algorithm: 'm.megolm_backup.v1.curve25519-aes-sha2',
      auth_data: authData,
    });
    return (body as { version: string }).version;
  }
}

/** A key as clients send it, with what the test is about. */
export function keyData(
  fields: {
    first_message_index?: unknown;
    forwarded_count?: unknown;
    is_verified?: unknown;
    session_data?: unknown;
  } = {},
) {
  return {
    first_message_index: 0,
    forwarded_count: 0,
    is_verified: false,
    session_data: { ephemeral: 'e', ciphertext: 'c', mac: 'm' },
    ...fields,
  };
}

/** `{rooms: …}` from a list of ids and keys. `Object.fromEntries` keeps an id `__proto__`. */
export function roomsBody(
  keys: readonly (readonly [roomId: string, sessionId: string, key: object])[],
) {
  const rooms = new Map<string, [string, object][]>();
  for (const [roomId, sessionId, key] of keys) {
    rooms.set(roomId, [...(rooms.get(roomId) ?? []), [sessionId, key]]);
  }
  return {
    rooms: Object.fromEntries(
      [...rooms].map(([roomId, sessions]) => [roomId, { sessions: Object.fromEntries(sessions) }]),
    ),
  };
}

/** The path of a room or of a key in it, below `/keys`. */
export function keyPath(roomId: string, sessionId?: string): string {
  const segments = sessionId === undefined ? [roomId] : [roomId, sessionId];
  return `/keys/${segments.map(encodeURIComponent).join('/')}`;
}
