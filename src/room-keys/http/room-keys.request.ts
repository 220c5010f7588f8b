import type { IncomingMessage } from 'node:http';
import { checkId } from '../json/ids.js';
import { invalidParameter, missingParameter } from '../room-keys.errors.js';
import type { RoomKeysRequestEvent } from '../room-keys.events.js';
import type { TokenOwner } from '../room-keys-options.interface.js';

/** A body as sent, which is JSON. It is not parsed: its values would take many times the memory. */
export interface JsonBody {
  text: string;
}

/** The placeholders of our paths. */
export type PathParameter = 'version' | 'roomId' | 'sessionId';

const requests = new WeakMap<IncomingMessage, RoomKeysRequest>();

/**
 * What a handler takes of a request, each part decoded and checked when it is read.
 *
 * It is kept beside the request, not on it: what a host's middleware does to `params`, `query` or `user` does not
 * reach it. Handlers get the request itself, since a host's global pipes change every other parameter.
 */
export class RoomKeysRequest {
  /** Of the token; the guard sets it. */
  owner: TokenOwner | undefined;
  /** The segments of the path by their names, still percent-encoded; the middleware sets them. */
  segments: Readonly<Partial<Record<PathParameter, string>>> = {};
  /** Bytes of the bodies, after decompression of the request's. */
  readonly bytes = { request: 0, response: 0 };
  /** Why the database could not serve it. */
  databaseFailure: RoomKeysRequestEvent['databaseFailure'];
  /** The body as the interceptor has read it. */
  body: JsonBody | undefined;

  static of(request: IncomingMessage): RoomKeysRequest {
    let known = requests.get(request);
    if (!known) requests.set(request, (known = new RoomKeysRequest(request)));
    return known;
  }

  private constructor(private readonly request: IncomingMessage) {}

  get userId(): string {
    return this.requiredOwner.userId;
  }

  get deviceId(): string | undefined {
    return this.requiredOwner.deviceId ?? undefined;
  }

  /** Whose token the request carries; the guard has found out. */
  get requiredOwner(): TokenOwner {
    if (this.owner) return this.owner;
    throw new Error('AccessTokenGuard did not run before a handler that needs the owner.');
  }

  /**
   * Of the backup: in the path, else in the query. Any passes, being at worst the name of no backup.
   *
   * @throws 400 `M_MISSING_PARAM` where the query has none or an empty one, 400 `M_INVALID_PARAM` where it has two
   */
  get version(): string {
    return this.readVersion();
  }

  /** @throws 400 `M_INVALID_PARAM` where it is longer than 255 bytes, or not percent-encoded UTF-8 */
  get roomId(): string {
    return this.readId('roomId');
  }

  /** @throws as {@link roomId} does */
  get sessionId(): string {
    return this.readId('sessionId');
  }

  /** The access token: from the header, else from the query, where old clients put it. */
  get accessToken(): string | undefined {
    const header = /^bearer +(\S+) *$/i.exec(this.request.headers.authorization ?? '');
    if (header) return header[1];
    const parameter = this.query.get('access_token');
    return parameter === '' ? undefined : (parameter ?? undefined);
  }

  /**
   * Checks path and query before a body is waited for.
   *
   * @throws as {@link version} and {@link roomId} do
   */
  checkParameters(): void {
    const { version, roomId, sessionId } = this.segments;
    const isAboutKeys = /\/room_keys\/keys(?:[/?]|$)/.test(this.request.url ?? '');
    if (isAboutKeys || version !== undefined) this.readVersion();
    if (roomId !== undefined) this.readId('roomId');
    if (sessionId !== undefined) this.readId('sessionId');
  }

  /** The body. Once: its text does not stay in memory while the keys are stored. */
  takeBody(): JsonBody {
    const { body } = this;
    this.body = undefined;
    if (body) return body;
    throw new Error('JsonBodyInterceptor did not run before a handler that takes the body.');
  }

  private readVersion(): string {
    const segment = this.segments.version;
    if (segment !== undefined) return decode(segment) ?? segment;
    const [version, ...more] = this.query.getAll('version');
    if (more.length > 0)
      throw invalidParameter("The query parameter 'version' is given more than once.");
    if (!version) throw missingParameter('version');
    return version;
  }

  private readId(name: 'roomId' | 'sessionId'): string {
    const what = `The ${name} in the path`;
    const decoded = decode(this.segments[name] ?? '');
    if (decoded === undefined) throw invalidParameter(`${what} is not percent-encoded UTF-8.`);
    return checkId(what, decoded);
  }

  /** Parsed here, since a host can give Express any query parser, or none. */
  private get query(): URLSearchParams {
    const { url = '' } = this.request;
    const mark = url.indexOf('?');
    return new URLSearchParams(mark === -1 ? '' : url.slice(mark));
  }
}

function decode(segment: string): string | undefined {
  try {
    return decodeURIComponent(segment);
  } catch {
    return undefined;
  }
}
