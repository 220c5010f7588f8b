/**
 * Proves that the largest body takes memory by its length on its whole way into the database, whatever its
 * characters, that others are served meanwhile, and that it is read back as it was.
 */
import { readFileSync } from 'node:fs';
import { databases, type TestDatabase } from '../../../test/support/databases.js';
import { keyData, keyPath, MatrixClient } from '../../../test/support/matrix-client.js';
import { build, ServerProcess } from './server-process.js';

const LENGTH = 15_000_000;
/** Less than a half of what the worst of them took when each escaped character was an object. */
const MOST_MEMORY_KB = 400_000;
const KEY = `${keyPath('!r:hs1', 's')}?version=1`;

const CHARACTERS: [what: string, json: string][] = [
  ['single quotes', "'"],
  ['backslashes', '\\\\'],
  ['quotes', '\\"'],
  ['letters with accents', 'é'],
  ['plain letters', 'x'],
];
const bodyOf = (json: string) =>
  JSON.stringify(keyData({ session_data: { x: '' } })).replace(
    '"x":""',
    `"x":"${json.repeat(Math.floor(LENGTH / Buffer.byteLength(json)))}"`,
  );

/** The most memory that a process ever had, in kB. */
const peakOf = ({ pid = 0 }: ServerProcess) =>
  Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);

const onLinux = process.platform === 'linux' ? databases : [];
if (onLinux.length === 0) process.stderr.write('Large bodies are left out: /proc is not there.\n');

describe.each(onLinux)('the largest body on $name', ({ name, create }) => {
  let database: TestDatabase;
  let server: ServerProcess;
  let alice: MatrixClient;
  let bob: MatrixClient;

  beforeAll(build);
  const start = async (variables: Record<string, string> = {}) => {
    database = await create();
    server = new ServerProcess({
      DATABASE_URL: database.url,
      DEV_TOKENS: 'alice=@alice:hs1,bob=@bob:hs1',
      ...variables,
    });
    const { url } = await server.serving();
    [alice, bob] = [new MatrixClient(url, 'alice'), new MatrixClient(url, 'bob')];
    for (const client of [alice, bob]) await client.createBackup();
  };
  afterEach(async () => {
    await server.stop();
    await database.drop();
  });

  it.each(CHARACTERS)('of %s takes little more memory than its length', async (what, json) => {
    await start();
    const body = bodyOf(json);
    const idle = peakOf(server);
    const stored = new AbortController();
    const upload = alice.send('PUT', KEY, body).finally(() => {
      stored.abort();
    });
    while (!stored.signal.aborted) expect((await bob.get('/version')).status).toBe(200);
    const { status } = await upload;
    expect(peakOf(server) - idle).toBeLessThan(MOST_MEMORY_KB);
    // 45 MB in ASCII, and MariaDB takes 16 MiB by default
    const isTooLarge = name === 'MariaDB' && what === 'letters with accents';
    expect(status).toBe(isTooLarge ? 413 : 200);
    if (isTooLarge) return;
    const { text } = await alice.get(KEY);
    expect(JSON.parse(text)).toEqual(JSON.parse(body));
  });

  it('comes twice at once, and the process lives with a small heap', async () => {
    await start({ NODE_OPTIONS: '--max-old-space-size=768' });
    for (const json of ["'", 'é']) {
      const body = bodyOf(json);
      const answers = await Promise.all(
        [alice, bob].map((client) => client.send('PUT', KEY, body)),
      );
      for (const { status } of answers) expect([200, 413]).toContain(status);
    }
    expect((await bob.get('/version')).status).toBe(200);
  });
});
