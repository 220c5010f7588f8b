/** Proves that an import which cannot reach its PostgreSQL says why, and what to do: password, password file, TLS. */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openSourceDatabase } from '../../src/operations/transfer/source-database.js';

/** AuthenticationSASL, which asks for a password by SCRAM-SHA-256. */
const ASKS_FOR_PASSWORD = Buffer.concat([
  Buffer.from('R'),
  Buffer.from([0, 0, 0, 23, 0, 0, 0, 10]),
  Buffer.from('SCRAM-SHA-256\0\0'),
]);
/** AuthenticationSASLContinue, with which pg looks at its password. */
const GOES_ON = Buffer.concat([
  Buffer.from('R'),
  Buffer.from([0, 0, 0, 11, 0, 0, 0, 11]),
  Buffer.from('r=n'),
]);
const SSL_REQUEST = 80877103;

let server: Server;
let port: number;
let folder: string;

// the first answers of a PostgreSQL without TLS that wants a password
beforeAll(async () => {
  server = createServer((socket) => {
    socket.once('data', (data) => {
      socket.write(data.readInt32BE(4) === SSL_REQUEST ? 'N' : ASKS_FOR_PASSWORD);
      socket.once('data', () => socket.write(GOES_ON));
    });
    socket.on('error', () => undefined);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  ({ port } = server.address() as AddressInfo);
  folder = mkdtempSync(join(tmpdir(), 'room-keys-source-'));
});
afterAll(() => {
  server.close();
  rmSync(folder, { recursive: true });
});

const environment = { ...process.env };
beforeEach(() => {
  delete process.env.PGPASSWORD;
  process.env.PGPASSFILE = join(folder, 'nothing');
});
afterEach(() => {
  process.env = { ...environment };
});

const failure = (query = '') =>
  openSourceDatabase(`postgres://synapse@127.0.0.1:${port}/synapse${query}`).then(
    () => 'none',
    (error: unknown) => (error as Error).message,
  );

const passwordFile = (line: string, mode: number) => {
  const file = join(folder, 'pgpass');
  writeFileSync(file, `${line}\n`);
  chmodSync(file, mode);
  process.env.PGPASSFILE = file;
  return file;
};

it('names PGPASSWORD where there is no password', async () => {
  delete process.env.PGPASSFILE;
  process.env.HOME = folder;
  expect(await failure()).toBe(
    `The source requires a password, and none is set. Set PGPASSWORD, or PGPASSFILE to a file with the line '127.0.0.1:${port}:synapse:synapse:PASSWORD' and mode 0600.`,
  );
});

it('names a PGPASSFILE that does not exist', async () => {
  expect(await failure()).toBe(
    `The password file in PGPASSFILE, ${join(folder, 'nothing')}, does not exist. Check its path.`,
  );
});

it('names a password file that others can read', async () => {
  const file = passwordFile('*:*:*:*:hunter2', 0o644);
  expect(await failure()).toBe(
    `The password file ${file} is ignored, because other users can read it (mode 0644). Run 'chmod 600 ${file}'.`,
  );
});

it('names a password file without a line for the source', async () => {
  const file = passwordFile('elsewhere:*:*:*:hunter2', 0o600);
  expect(await failure()).toBe(
    `The password file ${file} has no line for the source. Add '127.0.0.1:${port}:synapse:synapse:PASSWORD' to it.`,
  );
});

it.each(['require', 'verify-full'])(
  'says that the source has no TLS, with sslmode=%s',
  async (mode) => {
    expect(await failure(`?sslmode=${mode}`)).toBe(
      "The source does not offer TLS, which 'sslmode' in --from requires. Enable it in PostgreSQL (ssl = on), or remove 'sslmode'.",
    );
  },
);

it('names a file in --from that cannot be read', async () => {
  expect(await failure('?sslmode=verify-full&sslrootcert=/nowhere/ca.pem')).toBe(
    'The file /nowhere/ca.pem in --from cannot be read (ENOENT). Check its path, and that this user may read it.',
  );
});

it('names a socket on which nothing answers', async () => {
  const message = await openSourceDatabase(`postgres://synapse@/synapse?host=${folder}`).then(
    () => 'none',
    (error: unknown) => (error as Error).message,
  );
  expect(message).toMatch(/^No database answers on the socket in --from\. Check /);
});
