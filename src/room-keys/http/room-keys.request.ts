import type { IncomingMessage } from 'node:http';
import { checkId } from '../json/ids.js';
import { invalidParameter, missingParameter } from '../room-keys.errors.js';
import type { RoomKeysOperation, RoomKeysRequestEvent } from '../room-keys.events.js';
import type { TokenOwner } from '../room-keys-options.interface.js';

/** A body as it was sent, valid JSON. It is not parsed: its values would take many times the memory. */
export interface JsonBody {
  text: string;
}

/** The parameters of our paths. */
export type PathParameter = 'version' | 'roomId' | 'sessionId';

const REQUEST_TIMEOUT = 408;

const requests = new WeakMap<IncomingMessage, RoomKeysRequest>();

/**
 * The parts of a request that handlers need, each decoded and validated when it is read.
 *
 * It is stored beside the request, not on it, so that middleware of the host which changes `params`, `query` or `user`
 * does not affect it. Handlers get the request itself, since global pipes of the host change all other parameters.
 */
export class RoomKeysRequest {
  /** The owner of the token; set by the guard. */
  owner: TokenOwner | undefined;
  /** The path parameters, still percent-encoded; set by the middleware. */
  segments: Readonly<Partial<Record<PathParameter, string>>> = {};
  /** Undefined for an unknown path or a wrong method; set by the middleware. */
  operation: RoomKeysOperation | undefined;
  /** Whether the body may be longer than what is discarded after an early response; set by the middleware. */
  isLong = false;
  /** Bytes of the bodies; of the request's after decompression. */
  readonly bytes = { request: 0, response: 0 };
  /** Why the database could not serve it. */
  databaseFailure: RoomKeysRequestEvent['databaseFailure'];
  /** The body; set by the interceptor. */
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

  /** The owner of the token, after the guard. */
  get requiredOwner(): TokenOwner {
    if (this.owner) return this.owner;
    throw new Error('AccessTokenGuard did not run before a handler that needs the owner.');
  }

  /**
   * Version of the backup: from the path, otherwise from the query. Any string is valid; it may just not exist.
   *
   * @throws 400 `M_MISSING_PARAM` if it is missing or empty in the query, 400 `M_INVALID_PARAM` if it is given twice
   */
  get version(): string {
    return this.readVersion();
  }

  /** @throws 400 `M_INVALID_PARAM` if it is longer than 255 bytes, or not percent-encoded UTF-8 */
  get roomId(): string {
    return this.readId('roomId');
  }

  /** @throws as {@link roomId} does */
  get sessionId(): string {
    return this.readId('sessionId');
  }

  /** The access token: from the header, otherwise from the query, where old clients put it. */
  get accessToken(): string | undefined {
    const header = /^bearer +(\S+) *$/i.exec(this.request.headers.authorization ?? '');
    if (header) return header[1];
    const parameter = this.query.get('access_token');
    return parameter === '' ? undefined : (parameter ?? undefined);
  }

  /**
   * Validates path and query before the body is read.
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

  /** Takes the body, once, so that its text does not stay in memory while the keys are stored. */
  takeBody(): JsonBody {
    const { body } = this;
    this.body = undefined;
    if (body) return body;
    throw new Error('JsonBodyInterceptor did not run before a handler that takes the body.');
  }

  /**
   * Whether a response must announce that the connection is closed after it: if the rest of the body may be longer than
   * what is discarded, a client would wait in vain for the response to its next request.
   */
  closesAfter(status: number): boolean {
    return !this.request.complete && (status === REQUEST_TIMEOUT || this.isLong);
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

  /** Parsed here, since a host can configure any query parser of Express, or none. */
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
