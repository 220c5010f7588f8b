/**
 * Proves that the server speaks to a database through TLS where it is told to, and only to the one whose
 * certificate is right: on servers with certificates of their own, and a user who may only come encrypted.
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import mysql from 'mysql2/promise';
import { command } from '../cli/run-command.js';
import { PrivateServer } from '../../../test/reliability/private-server.js';
import { serverProgram } from '../proxy/processes.js';
import { giveToServer, withPostgres } from '../../../test/support/server-kinds.mjs';
import { findProgram, kinds } from '../../../test/support/servers.mjs';
import { build, ServerProcess } from './server-process.js';

const openssl = serverProgram('openssl', 'openssl');

interface Certificates {
  ca: string;
  cert: string;
  key: string;
}

/** A certificate of an authority of its own, and one that it signed for a host. */
function certificates(folder: string, authority: string, host: string): Certificates {
  const at = (name: string) => join(folder, `${authority}-${name}.pem`);
  const run = (...args: string[]) => execFileSync(openssl!, args, { stdio: 'pipe' });
  const fresh = ['-newkey', 'rsa:2048', '-nodes', '-days', '2', '-x509'];
  run('req', ...fresh, '-subj', `/CN=${authority}`, '-keyout', at('ca-key'), '-out', at('ca'));
  const request = ['-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=database'];
  run('req', ...request, '-keyout', at('key'), '-out', at('request'));
  writeFileSync(at('names'), `subjectAltName=DNS:${host}\n`);
  const by = ['-CA', at('ca'), '-CAkey', at('ca-key'), '-CAcreateserial', '-extfile', at('names')];
  run('x509', '-req', '-days', '2', '-in', at('request'), ...by, '-out', at('cert'));
  return { ca: at('ca'), cert: at('cert'), key: at('key') };
}

interface Encrypted {
  name: string;
  scheme: string;
  options: (certificates: Certificates) => string[];
  /** Makes a database whose user may only come encrypted. */
  prepare: (url: string) => Promise<unknown>;
  /** What the server says where it comes without TLS. */
  refusal: RegExp;
}

const ENCRYPTED: Encrypted[] = [
  {
    name: 'MariaDB',
    scheme: 'mysql',
    options: ({ ca, cert, key }) => [`--ssl-ca=${ca}`, `--ssl-cert=${cert}`, `--ssl-key=${key}`],
    prepare: async (url) => {
      const connection = await mysql.createConnection(url);
      await connection.query('CREATE DATABASE encrypted CHARACTER SET utf8mb4');
      await connection.query("CREATE USER 'tls'@'127.0.0.1' IDENTIFIED BY 'p:@/?%' REQUIRE SSL");
      await connection.query("GRANT ALL ON encrypted.* TO 'tls'@'127.0.0.1'");
      await connection.end();
    },
    refusal: /a user that requires an encrypted connection needs DATABASE_TLS\.$/,
  },
  {
    name: 'PostgreSQL',
    scheme: 'postgres',
    options: ({ cert, key }) => {
      giveToServer(key);
      const settings = { ssl: 'on', ssl_cert_file: cert, ssl_key_file: key };
      return Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    },
    prepare: (url) =>
      withPostgres(url, async (client) => {
        await client.query("CREATE ROLE tls LOGIN PASSWORD 'p:@/?%'");
        await client.query('CREATE DATABASE encrypted OWNER tls');
        const { rows } = await client.query<{ hba_file: string }>('SHOW hba_file');
        const { hba_file: file = '' } = rows[0] ?? {};
        writeFileSync(file, `hostnossl all tls all reject\n${readFileSync(file, 'utf8')}`);
        await client.query('SELECT pg_reload_conf()');
      }),
    refusal: /^PostgreSQL does not allow this user to connect from here/,
  },
];

/** Those of them that are on this machine; in CI, one that is missing is a failure. */
const onThisMachine = ENCRYPTED.flatMap((encrypted) => {
  const kind = kinds.find(({ name }) => name === encrypted.name)!;
  const program = findProgram(kind);
  if (!program && process.env.CI) throw new Error(`${encrypted.name} is required here`);
  return program ? [{ ...encrypted, kind, program }] : [];
});

(openssl ? describe : describe.skip).each(onThisMachine)(
  'the connection to $name with TLS',
  (encrypted) => {
    const { kind, program, scheme, refusal } = encrypted;
    let folder: string;
    let own: Certificates;
    let misnamed: Certificates;
    let databases: Record<'own' | 'misnamed', PrivateServer>;
    let server: ServerProcess | undefined;

    beforeAll(async () => {
      await build();
      folder = mkdtempSync(join(tmpdir(), 'room-keys-tls-'));
      // the server may run as another user
      chmodSync(folder, 0o711);
      const startDatabase = async (its: Certificates) => {
        const database = await PrivateServer.start(kind, program, encrypted.options(its));
        await encrypted.prepare(database.url);
        return database;
      };
      own = certificates(folder, 'own', 'localhost');
      misnamed = certificates(folder, 'other', 'db.example.org');
      databases = { own: await startDatabase(own), misnamed: await startDatabase(misnamed) };
    });
    afterEach(async () => {
      await server?.stop();
      server = undefined;
    });
    afterAll(async () => {
      await databases.own.end();
      await databases.misnamed.end();
      rmSync(folder, { recursive: true, force: true });
    });

    const start = (
      settings: Record<string, string>,
      {
        database = 'own',
        host = 'localhost',
      }: { database?: 'own' | 'misnamed'; host?: string } = {},
    ) => {
      const { port } = new URL(databases[database].url);
      server = new ServerProcess({
        DATABASE_URL: `${scheme}://tls:${encodeURIComponent('p:@/?%')}@${host}:${port}/encrypted`,
        ...settings,
      });
      return server;
    };

    it('is made with verify-full to the host that the certificate is for', async () => {
      await start({ DATABASE_TLS: 'verify-full', DATABASE_TLS_CA_FILE: own.ca }).serving();
    });

    it('is made with verify-ca to whatever host it is', async () => {
      const settings = { DATABASE_TLS: 'verify-ca', DATABASE_TLS_CA_FILE: misnamed.ca };
      await start(settings, { database: 'misnamed', host: '127.0.0.1' }).serving();
    });

    it.each([
      ['without TLS', () => ({}), 'own' as const],
      ['where nobody known has signed', () => ({ DATABASE_TLS: 'verify-full' }), 'own' as const],
      [
        'where somebody else has signed',
        () => ({ DATABASE_TLS: 'verify-ca', DATABASE_TLS_CA_FILE: misnamed.ca }),
        'own' as const,
      ],
      [
        'where the certificate is for another host',
        () => ({ DATABASE_TLS: 'verify-full', DATABASE_TLS_CA_FILE: misnamed.ca }),
        'misnamed' as const,
      ],
    ])('is not made %s', async (what, settings, database) => {
      const { message } = await start(settings(), { database }).line(
        ({ level }) => level === 'fatal',
      );
      expect(message).toMatch(
        what === 'without TLS'
          ? refusal
          : /^The certificate of the database is not trusted\. Set DATABASE_TLS_CA_FILE/,
      );
    });

    it('is used by the commands, too', async () => {
      const { port } = new URL(databases.own.url);
      const { code, out } = await command(['migrate', '--json'], {
        DATABASE_URL: `${scheme}://tls@localhost:${port}/encrypted`,
        DATABASE_PASSWORD: 'p:@/?%',
        DATABASE_TLS: 'verify-full',
        DATABASE_TLS_CA_FILE: own.ca,
      });
      expect(code).toBe(0);
      expect(JSON.parse(out)).toEqual({ migrations: expect.any(Array) as string[] });
    });
  },
);
