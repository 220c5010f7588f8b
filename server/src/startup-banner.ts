import type { Addresses } from './application.js';
import { withoutCredentials } from './database-url.js';
import { developmentTokenFile } from './development-token.js';
import { DOCS_PATH } from './listening.js';
import type { Environment, Variables } from './environment.js';
import { type ServerLogger, writesJson } from './logs/server-logger.js';
import { isSocketPath } from './setting-parsers.js';
import { remarksOn } from './settings-text.js';
import { version } from './version.js';

const NOBODY_ASKED =
  'No token verification is configured, so only the generated token is accepted. Set HOMESERVER_URL, unless this is a trial.';

/** The messages at the start of the server: plain text on a terminal, otherwise lines of the log. */
export class StartupBanner {
  private readonly json: boolean;

  constructor(private readonly variables: Variables) {
    this.json = writesJson(variables.LOG_FORMAT);
  }

  /** Tells of variables that look like settings and are none, and of settings that do nothing. */
  remarks(log: ServerLogger): void {
    for (const remark of remarksOn(this.variables)) {
      if (this.json) log.warn(remark, 'Settings');
      else process.stderr.write(`${remark}\n`);
    }
  }

  serving(log: ServerLogger, environment: Environment, addresses: Addresses): void {
    if (this.json) {
      log.log('Serving', bannerFields(environment, addresses), 'Server');
      if (environment.developmentTokenMadeUp) log.warn(NOBODY_ASKED, 'Server');
    } else process.stdout.write(banner(environment, addresses));
  }

  /** @param log makes one, which is needed only now: settings that are wrong may have kept it from being made */
  failed(log: () => ServerLogger, failure: string): void {
    if (this.json) log().fatal(failure, 'Server');
    else process.stderr.write(`${failure}\n`);
  }
}

/** What the server says when it serves: where to look, and a first session to paste. */
export function banner(environment: Environment, { url, metricsUrl }: Addresses): string {
  const {
    developmentTokens: [first],
    developmentTokenMadeUp,
    databaseUrl,
    host,
    servesDocs,
    workers,
  } = environment;
  const api = `${url}/_matrix/client/v3/room_keys`;
  const lines = [
    `Key backup API  ${api}`,
    ...(servesDocs ? [`Swagger UI      ${url}/${DOCS_PATH}`] : []),
    `Database        ${withoutCredentials(databaseUrl)}`,
    ...(metricsUrl === undefined ? [] : [`Metrics         ${metricsUrl}`]),
    ...(workers > 1 ? [`Workers         ${workers} processes`] : []),
  ];
  if (!first || !developmentTokenMadeUp) {
    lines.push(`Access tokens   ${checkedBy(environment)}`);
  } else {
    const file = developmentTokenFile(environment);
    lines.push(
      `Access token    ${first.token}  (of ${first.userId}, ${file ? `kept in ${file}` : 'for this start only'})`,
      '',
      'Create a backup, store a key and read it back:',
      '',
      ...firstSession(api, first.token, isSocketPath(host) ? host : undefined).map(
        (line) => `  ${line}`,
      ),
    );
  }
  return `${lines.join('\n')}\n`;
}

/**
 * The same for a log. A generated token is included only if it is not in a file: it could not be used
 * otherwise.
 */
export function bannerFields(environment: Environment, { url, metricsUrl }: Addresses) {
  const {
    developmentTokens: [first],
    developmentTokenMadeUp,
    databaseUrl,
    servesDocs,
    workers,
  } = environment;
  const file = developmentTokenFile(environment);
  return {
    url,
    docs: servesDocs ? `${url}/${DOCS_PATH}` : undefined,
    metrics: metricsUrl,
    database: withoutCredentials(databaseUrl),
    workers: workers > 1 ? workers : undefined,
    accessTokens: developmentTokenMadeUp ? 'one for development' : checkedBy(environment),
    developmentTokenFile: file,
    developmentToken: developmentTokenMadeUp && file === undefined ? first?.token : undefined,
    version,
  };
}

function checkedBy({ developmentTokens, homeserver, introspection }: Environment): string {
  const ways = [
    developmentTokens.length > 0 && 'those in DEV_TOKENS',
    homeserver && `checked by whoami at ${homeserver.homeserverUrl}`,
    introspection && `checked by introspection at ${introspection.introspectionUrl}`,
  ];
  return ways.filter(Boolean).join(', others ');
}

function firstSession(url: string, token: string, socket: string | undefined): string[] {
  const api = socket === undefined ? url : url.replace(/^http:.*:(?=\/)/, 'http://localhost');
  const connection = socket === undefined ? '' : ` --unix-socket ${socket}`;
  const curl = `curl -s${connection} -H 'Authorization: Bearer ${token}'`;
  const key = `{"first_message_index":0,"forwarded_count":0,"is_verified":true,"session_data":{"ciphertext":"…"}}`;
  return [
    `V=$(${curl} ${api}/version -d '{"algorithm":"m.megolm_backup.v1.curve25519-aes-sha2","auth_data":{}}' | sed 's/[^0-9]//g')`,
    `${curl} -X PUT "${api}/keys/%21room%3Alocalhost/session1?version=$V" -d '${key}'`,
    `${curl} "${api}/keys?version=$V"`,
  ];
}
