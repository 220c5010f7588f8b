import { developmentTokenFile } from './development-token.js';
import type { Addresses } from './application.js';
import { withoutCredentials } from './database-url.js';
import { DOCS_PATH } from './docs-path.js';
import type { Environment } from './environment.js';
import { isSocketPath } from './setting-kinds.js';
import { version } from './version.js';

/** What the server says when it serves: where to look, and a first session to paste. */
export function welcome(environment: Environment, { url, metricsUrl }: Addresses): string {
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
 * The same for a log. A token that was made up is in it only where no file keeps it: nobody could
 * use it otherwise.
 */
export function welcomeFields(environment: Environment, { url, metricsUrl }: Addresses) {
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
