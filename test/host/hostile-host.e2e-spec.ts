/**
 * Proves that the 14 operations answer in a host that has everything exactly as they do where
 * nothing else is, and that the host's own routes answer as they did before it had them: the same
 * requests go to both, one by one, and what comes back is compared.
 */
import { VersioningType } from '@nestjs/common';
import { DocumentBuilder, SwaggerModule } from '@nestjs/swagger';
import express from 'express';
import { startApplication } from '../support/application.js';
import { databases, type TestDatabase } from '../support/databases.js';
import {
  type Answered,
  hostsOwn,
  KEY_BACKUP,
  type Line,
  OF_THE_MOMENT,
  transcript,
} from './conversations.js';
import { exchange } from './exchange.js';
import { type Host, type HostOptions, PROTECTIVE_HEADERS, startHost } from './hostile-host.js';

const { create } = databases[0]!;

/** What a host may add to every answer, ours too. */
const OF_THE_HOST = [
  ...OF_THE_MOMENT,
  ...Object.keys(PROTECTIVE_HEADERS),
  'x-powered-by',
  // of the host's CORS: more than needed, and no harm
  'vary',
];
const keyBackup = (url: string) => transcript(url, KEY_BACKUP, OF_THE_HOST);
const own = (url: string, lines: readonly Line[]) => transcript(url, lines, OF_THE_MOMENT);

describe('in a host that has everything', () => {
  const cleanUp: (() => Promise<unknown>)[] = [];
  let alone: Answered[];

  beforeAll(async () => {
    const database = await create();
    const application = await startApplication(database);
    alone = await keyBackup(application.url);
    await application.close();
    await database.drop();
  });
  afterEach(async () => {
    for (const undo of cleanUp.splice(0).reverse()) await undo();
  });

  async function database(): Promise<TestDatabase> {
    const created = await create();
    cleanUp.push(created.drop);
    return created;
  }
  async function start(options: HostOptions = {}): Promise<Host> {
    const host = await startHost(await database(), options);
    cleanUp.push(host.close);
    return host;
  }

  it('is asked for each kind of answer', () => {
    const statuses = alone.map(({ status }) => status);
    expect([...new Set(statuses)].sort()).toEqual([200, 204, 400, 401, 403, 404, 405, 413, 503]);
    expect(statuses.filter((status) => status === 200).length).toBeGreaterThan(50);
  });

  describe('the operations answer as they do alone', () => {
    it('under no prefix, though the host has one', async () => {
      const host = await start();
      expect(await keyBackup(host.url)).toEqual(alone);
      expect(host.log.filter((line) => !line.includes('verifyAccessToken failed'))).toEqual([]);
    });

    it.each<[string, HostOptions['prepare'] & object]>([
      [
        'the path',
        (app) => app.enableVersioning({ type: VersioningType.URI, defaultVersion: '1' }),
      ],
      ['a header', (app) => app.enableVersioning({ type: VersioningType.HEADER, header: 'X-V' })],
      [
        'the media type',
        (app) => app.enableVersioning({ type: VersioningType.MEDIA_TYPE, key: 'v=' }),
      ],
    ])('where the host has versions in %s', async (_, prepare) => {
      expect(await keyBackup((await start({ prepare })).url)).toEqual(alone);
    });

    const everything = { type: () => true };
    const noParser = { bodyParser: false };
    it.each<[string, HostOptions]>([
      ['are switched off', { nest: noParser }],
      ['keep raw bodies', { nest: { rawBody: true } }],
      ['take 50 kB', { prepare: (app) => app.use(express.json({ limit: '50kb' })) }],
      ['read all as JSON', { nest: noParser, prepare: (app) => app.use(express.json(everything)) }],
      [
        'read all as a form',
        { nest: noParser, prepare: (app) => app.use(express.urlencoded(everything)) },
      ],
      ['read all as bytes', { nest: noParser, prepare: (app) => app.use(express.raw(everything)) }],
      ['read all as text', { nest: noParser, prepare: (app) => app.use(express.text(everything)) }],
      ['are more than one', { prepare: (app) => app.useBodyParser('raw', { type: '*/*' }) }],
    ])('where the host’s body parsers %s', async (_, options) => {
      expect(await keyBackup((await start(options)).url)).toEqual(alone);
    });

    it('with their tables in a DataSource that has a name', async () => {
      const host = await start({ keysDatabase: await database() });
      expect(await keyBackup(host.url)).toEqual(alone);
    });

    it('with a prefix before the names of all tables', async () => {
      const host = await start({ entityPrefix: 'our_' });
      expect(await keyBackup(host.url)).toEqual(alone);
    });
  });

  describe('the host’s own routes answer as they did without the module', () => {
    const uri: HostOptions = {
      prepare: (app) => app.enableVersioning({ type: VersioningType.URI }),
    };
    it.each<[string, HostOptions, string]>([
      ['as Nest has it', {}, '/api'],
      ['with versions in the path', uri, '/api/v1'],
      [
        'with a smaller limit',
        { prepare: (app) => app.use(express.json({ limit: '50kb' })) },
        '/api',
      ],
      ['with raw bodies', { nest: { rawBody: true } }, '/api'],
      ['without a parser', { nest: { bodyParser: false } }, '/api'],
    ])('%s', async (_, options, prefix) => {
      const before = await start({ ...options, roomKeys: false });
      const after = await start(options);
      const lines = hostsOwn(prefix);
      expect(await own(after.url, lines)).toEqual(await own(before.url, lines));
    });

    it('wrapped, in its own shape, with its own headers, and limited to 100 kB', async () => {
      const { url } = await start();
      const [stored, refused, tooLarge, preflight, nowhere] = await own(url, hostsOwn());
      const ownError = expect.stringMatching(/^\{"ok":false,/) as string;
      expect(stored).toMatchObject({
        status: 201,
        headers: {
          ...PROTECTIVE_HEADERS,
          'access-control-allow-origin': 'https://only.example',
          'access-control-allow-credentials': 'true',
        },
        body: '{"data":{"id":1,"length":5}}',
      });
      expect(refused).toMatchObject({ status: 400, body: ownError });
      expect(tooLarge).toMatchObject({ status: 413, body: ownError });
      expect(preflight).toMatchObject({
        status: 204,
        headers: { 'access-control-allow-methods': 'GET,POST' },
      });
      expect(nowhere).toMatchObject({ status: 404, body: ownError });
    });
  });

  describe('the host’s OpenAPI document', () => {
    const asDocumented = (host: Host) =>
      SwaggerModule.createDocument(host.app, new DocumentBuilder().build());

    it('has the operations as they are documented alone, beside the host’s own', async () => {
      const host = await start();
      const plain = await startApplication(await database(), { securityScheme: 'bearer' });
      cleanUp.push(plain.close);
      const expected = SwaggerModule.createDocument(plain.app, new DocumentBuilder().build());

      expect(host.document.paths).toMatchObject(expected.paths);
      expect(host.document.components?.schemas).toMatchObject(expected.components!.schemas!);
      expect(Object.keys(host.document.paths).filter((path) => !(path in expected.paths))).toEqual([
        '/api/notes',
        '/api/notes/moods',
        '/api/notes/{id}',
        '/_matrix/client/v3/room_keys_of_mine/version',
      ]);
      expect(host.document.components?.schemas).toMatchObject({
        Error: { properties: { mood: { type: 'string' } } },
        Backup: { properties: { tape: { type: 'string' } } },
      });
      expect(await exchange(host.url, { method: 'GET', path: '/docs-json' })).toMatchObject({
        status: 200,
      });
    });

    it.each<[string, HostOptions]>([
      ['a prefix', {}],
      ['versions', { prepare: (app) => app.enableVersioning({ type: VersioningType.URI }) }],
    ])('is the same before and after the application is set up with %s', async (_, options) => {
      const host = await start(options);
      expect(asDocumented(host).paths).toEqual(host.document.paths);
    });
  });
});
