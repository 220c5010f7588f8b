/**
 * Proves that what a host wraps around all of its handlers, guards, interceptors, middleware that
 * reads bodies, and transactions of its own on the shared connection, neither changes an answer of
 * the operations nor loses what they stored; and that it is said where the host is in the way.
 */
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { once } from 'node:events';
import { setTimeout } from 'node:timers/promises';
import { brotliCompressSync, deflateSync, gunzipSync, gzipSync } from 'node:zlib';
import {
  BadGatewayException,
  type CallHandler,
  type CanActivate,
  type ExecutionContext,
  HttpException,
  Injectable,
  type NestInterceptor,
  type Provider,
  RequestTimeoutException,
  Scope,
  SetMetadata,
  UnauthorizedException,
} from '@nestjs/common';
import { APP_GUARD, APP_INTERCEPTOR, Reflector } from '@nestjs/core';
import type { NextFunction, Request, Response } from 'express';
import {
  catchError,
  map,
  type Observable,
  of,
  Subject,
  takeUntil,
  throwError,
  throwIfEmpty,
} from 'rxjs';
import { DataSource } from 'typeorm';
import { RoomKeysService } from '../../src/index.js';
import { databases } from '../support/databases.js';
import { keyData, MatrixClient, roomsBody } from '../support/matrix-client.js';
import { type Host, type HostOptions, Note, notesOf, startHost } from './hostile-host.js';

const { create } = databases[0]!;
const MEGOLM_BACKUP_V1 = 'm.megolm_backup.v1.curve25519-aes-sha2';

/** Does something once, as the log is about to hear of a statement. */
function onStatement(dataSource: DataSource, beginning: string, act: () => void): void {
  const before = dataSource.logger;
  dataSource.logger = new Proxy(before, {
    get: (logger, name, receiver): unknown =>
      name === 'logQuery'
        ? (sql: string) => {
            if (!sql.startsWith(beginning)) return;
            dataSource.logger = before;
            act();
          }
        : Reflect.get(logger, name, receiver),
  });
}

describe('a host that is in the way', () => {
  const cleanUp: (() => Promise<unknown>)[] = [];

  afterEach(async () => {
    for (const undo of cleanUp.splice(0).reverse()) await undo();
  });

  async function start(options: HostOptions & { wal?: boolean } = {}): Promise<Host> {
    const database = await create();
    cleanUp.push(database.drop);
    const { dataSourceOptions } = database;
    const host = await startHost(
      options.wal === false
        ? { ...database, dataSourceOptions: { ...dataSourceOptions, enableWAL: false } as never }
        : database,
      options,
    );
    cleanUp.push(host.close);
    return host;
  }
  const alice = ({ url }: Host) => new MatrixClient(url, 'alice');
  const interceptor = (
    intercept: (answer: Observable<unknown>) => Observable<unknown>,
  ): Provider => ({
    provide: APP_INTERCEPTOR,
    useValue: {
      intercept: (_: ExecutionContext, next: CallHandler) => intercept(next.handle()),
    } satisfies NestInterceptor,
  });
  const guard = (canActivate: CanActivate['canActivate']): Provider => ({
    provide: APP_GUARD,
    useValue: { canActivate } satisfies CanActivate,
  });

  describe('with an interceptor', () => {
    it('that is made anew for each request', async () => {
      @Injectable({ scope: Scope.REQUEST })
      class Counting implements NestInterceptor {
        static made = 0;
        constructor() {
          Counting.made++;
        }
        intercept(_: ExecutionContext, next: CallHandler) {
          return next.handle();
        }
      }
      const host = await start({ providers: [{ provide: APP_INTERCEPTOR, useClass: Counting }] });
      expect(await alice(host).createBackup()).toBe('1');
      expect(
        (await alice(host).put('/keys?version=1', roomsBody([['!r', 's', keyData()]]))).body,
      ).toEqual({ count: 1, etag: '1' });
      expect(Counting.made).toBe(2);
    });

    it('that expects every answer to have members', async () => {
      const host = await start({
        providers: [
          interceptor((answer) => answer.pipe(map((data) => (data as { result: unknown }).result))),
        ],
      });
      expect(await alice(host).createBackup()).toBe('1');
      for (let n = 1; n <= 20; n++) {
        const key = roomsBody([['!r', `s${n}`, keyData()]]);
        expect((await alice(host).put('/keys?version=1', key)).body).toMatchObject({ count: n });
      }
      expect((await alice(host).get('/keys/!r/s7?version=1')).body).toEqual(keyData());
    });

    it('that makes one error of all errors', async () => {
      const host = await start({
        providers: [
          interceptor((answer) =>
            answer.pipe(catchError(() => throwError(() => new BadGatewayException()))),
          ),
        ],
      });
      expect(await alice(host).get('/version')).toMatchObject({
        status: 404,
        body: { errcode: 'M_NOT_FOUND' },
      });
      expect(await alice(host).send('POST', '/version', '{')).toMatchObject({
        status: 400,
        body: { errcode: 'M_NOT_JSON' },
      });
    });

    it('that makes an answer of all errors', async () => {
      const host = await start({
        providers: [interceptor((answer) => answer.pipe(catchError(() => of({ fine: true }))))],
      });
      expect(await alice(host).get('/version')).toMatchObject({
        status: 404,
        body: { errcode: 'M_NOT_FOUND' },
      });
    });

    /** Gives up whatever is under way when the test says so, as `timeout` of RxJS does by the clock. */
    const givingUp = () => {
      const now = new Subject<void>();
      const provider = interceptor((answer) =>
        answer.pipe(
          takeUntil(now),
          throwIfEmpty(() => new RequestTimeoutException()),
        ),
      );
      return { now, provider };
    };

    it('whose patience ends while a client reads a large answer', async () => {
      const { now, provider } = givingUp();
      const host = await start({ providers: [provider] });
      await alice(host).createBackup();
      const ciphertext = 'c'.repeat(1_000_000);
      for (let n = 0; n < 3; n++) {
        const keys = Array.from(
          { length: 10 },
          (_, m) => [`!r${n}`, `s${m}`, keyData({ session_data: { ciphertext } })] as const,
        );
        expect((await alice(host).put('/keys?version=1', roomsBody(keys))).status).toBe(200);
      }
      const sent = httpRequest(`${host.url}/_matrix/client/v3/room_keys/keys?version=1`, {
        headers: { authorization: 'Bearer alice' },
      }).end();
      const [answer] = (await once(sent, 'response')) as [IncomingMessage];
      now.next();
      let text = '';
      for await (const chunk of answer.setEncoding('utf8')) text += chunk as string;
      expect(Object.keys((JSON.parse(text) as { rooms: object }).rooms)).toHaveLength(3);
    });

    it('whose patience ends before there is an answer', async () => {
      const { now, provider } = givingUp();
      // where a restore has the connection for itself, and a forgotten one would keep it
      const host = await start({ providers: [provider], wal: false });
      await alice(host).createBackup();
      const runner = host.app.get(DataSource).createQueryRunner();
      await runner.startTransaction();
      const given = alice(host).get('/keys?version=1');
      // until the request has come as far as the database
      while (!now.observed) await new Promise(setImmediate);
      now.next();
      const answer = await given;
      await runner.commitTransaction();
      expect(answer).toMatchObject({ status: 503, body: { errcode: 'M_UNKNOWN' } });
      expect(answer.headers.get('retry-after')).not.toBeNull();
      expect((await alice(host).get('/keys?version=1')).body).toEqual({ rooms: {} });
    });
  });

  describe('with a guard', () => {
    const onlyOurs = (check: (response: Response) => boolean): Provider =>
      guard((context) => check(context.switchToHttp().getResponse<Response>()));

    it('that has had enough', async () => {
      const host = await start({
        providers: [
          onlyOurs((response) => {
            response.setHeader('Retry-After', '7');
            throw new HttpException('ThrottlerException: Too Many Requests', 429);
          }),
        ],
      });
      const answer = await alice(host).get('/version');
      expect(answer).toMatchObject({
        status: 429,
        body: { errcode: 'M_LIMIT_EXCEEDED', retry_after_ms: 7000 },
      });
      expect(answer.headers.get('retry-after')).toBe('7');
    });

    it.each<[string, () => boolean]>([
      ['says no', () => false],
      [
        'wants a token of the host’s',
        () => {
          throw new UnauthorizedException();
        },
      ],
    ])('that %s', async (_, check) => {
      const host = await start({ providers: [onlyOurs(check)] });
      const answer = await alice(host).get('/version');
      // a client that gets M_UNKNOWN_TOKEN logs its user out
      expect(answer).toMatchObject({ status: 403, body: { errcode: 'M_FORBIDDEN' } });
      expect(host.log.join()).toMatch(/guard/);
    });

    @Injectable()
    class RolesGuard implements CanActivate {
      constructor(private readonly reflector: Reflector) {}

      canActivate(context: ExecutionContext): boolean {
        if (!context.switchToHttp().getRequest<Request>().path.includes('/room_keys/')) return true;
        const handlers = [context.getHandler(), context.getClass()];
        if (this.reflector.getAllAndOverride<string>('access', handlers) === 'public') return true;
        if (this.reflector.getAllAndOverride<string>('access', handlers) === 'thrown')
          throw new UnauthorizedException();
        return false;
      }
    }
    const rolesGuard = { provide: APP_GUARD, useClass: RolesGuard };

    it.each([
      ['that returns false', []],
      ['that throws', [SetMetadata('access', 'thrown')]],
    ])('%s: one warning names its class, and how to let it pass', async (_, decorators) => {
      const host = await start({ providers: [rolesGuard], options: { decorators } });
      for (let n = 0; n < 3; n++) expect((await alice(host).get('/version')).status).toBe(403);
      const warnings = host.log.filter((line) => line.includes('RolesGuard'));
      expect(warnings).toHaveLength(1);
      expect(warnings[0]).toContain("'decorators'");
    });

    it('that passes what has a decorator, on all paths, in this application only', async () => {
      const decorators = [SetMetadata('access', 'public')];
      const open = await start({ providers: [rolesGuard], options: { decorators } });
      const closed = await start({ providers: [rolesGuard] });
      expect(await alice(open).createBackup()).toBe('1');
      for (const prefix of ['v3', 'r0', 'unstable']) {
        const url = `${open.url}/_matrix/client/${prefix}/room_keys/version`;
        const headers = { authorization: 'Bearer alice' };
        expect((await fetch(url, { headers })).status).toBe(200);
      }
      expect((await alice(closed).get('/version')).status).toBe(403);
    });
  });

  describe('with middleware that reads bodies', () => {
    const collect = async (request: Request) => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      return Buffer.concat(chunks);
    };
    const reading =
      (keep: (request: Request, body: Buffer) => void) =>
      (request: Request, _: Response, next: NextFunction): void => {
        void collect(request).then((body) => {
          keep(request, body);
          next();
        });
      };

    it('and keeps them for us to find', async () => {
      const host = await start({
        prepare: (app) => app.use(reading((request, body) => (request.body = body))),
      });
      expect(await alice(host).createBackup()).toBe('1');
    });

    const upload = {
      rooms: { '!r:hs1': { sessions: { s: keyData({ session_data: { x: 'y'.repeat(5000) } }) } } },
    };
    const put = async (host: Host, body: Buffer, encoding?: string) => {
      await alice(host).createBackup();
      return fetch(`${host.url}/_matrix/client/v3/room_keys/keys?version=1`, {
        method: 'PUT',
        headers: {
          authorization: 'Bearer alice',
          ...(encoding === undefined ? {} : { 'content-encoding': encoding }),
        },
        body,
      });
    };
    const inRawBody = reading((request, body) => {
      // as a serverless platform has it
      request.body = undefined;
      Object.assign(request, { rawBody: body });
    });
    const decompressedInRawBody = reading((request, body) => {
      const { 'content-encoding': encoding } = request.headers;
      Object.assign(request, { rawBody: encoding === 'gzip' ? gunzipSync(body) : body });
    });

    it.each<[string, string | undefined, (text: string) => Buffer, typeof inRawBody]>([
      ['plain', undefined, Buffer.from, inRawBody],
      ['compressed by gzip', 'gzip', gzipSync, inRawBody],
      ['compressed by deflate', 'deflate', deflateSync, inRawBody],
      ['compressed by br', 'br', brotliCompressSync, inRawBody],
      ['decompressed already', 'gzip', gzipSync, decompressedInRawBody],
    ])('and keeps them in rawBody, %s', async (_, encoding, compress, prepare) => {
      const host = await start({ prepare: (app) => app.use(prepare) });
      const answer = await put(host, compress(JSON.stringify(upload)), encoding);
      expect(await answer.json()).toMatchObject({ count: 1 });
      expect((await alice(host).get('/keys?version=1')).body).toEqual(upload);
    });

    it.each<[string, number, string, string | undefined, Buffer]>([
      ['too large', 413, 'M_TOO_LARGE', undefined, Buffer.from(JSON.stringify(upload))],
      ['too large when decompressed', 413, 'M_TOO_LARGE', 'gzip', gzipSync(JSON.stringify(upload))],
      ['in an unknown encoding', 415, 'M_UNKNOWN', 'zstd', Buffer.from('(\xb5/\xfd', 'latin1')],
      ['broken', 400, 'M_NOT_JSON', 'gzip', gzipSync('{}').subarray(0, 12)],
    ])('and keeps them in rawBody, %s: %d', async (_, status, errcode, encoding, body) => {
      const host = await start({
        prepare: (app) => app.use(inRawBody),
        options: { maxBodyBytes: 2000 },
      });
      const answer = await put(host, body, encoding);
      expect(answer.status).toBe(status);
      expect(await answer.json()).toMatchObject({ errcode });
    });

    it('and throws them away: the log says so', async () => {
      const host = await start({ prepare: (app) => app.use(reading(() => undefined)) });
      const answer = await alice(host).post('/version', { algorithm: 'x', auth_data: {} });
      // not 400: it is not the client's fault
      expect(answer).toMatchObject({ status: 500, body: { errcode: 'M_UNKNOWN' } });
      expect(host.log.join()).toMatch(/was read before RoomKeysModule could/);
    });

    it('and does not wait for their end: the log says so', async () => {
      const host = await start({
        prepare: (app) =>
          app.use((request: Request, _: Response, next: NextFunction) => {
            void collect(request);
            next();
          }),
      });
      const body = { algorithm: MEGOLM_BACKUP_V1, auth_data: {} };
      expect((await alice(host).post('/version', body)).status).toBe(500);
      expect(host.log.join()).toMatch(/was read before RoomKeysModule could/);
    });
  });

  describe('with a single connection, which all transactions share', () => {
    const ROUNDS = 25;

    async function withBackups(host: Host): Promise<MatrixClient[]> {
      const users = ['a', 'b', 'c', 'd'].map((user) => new MatrixClient(host.url, user));
      for (const user of users) {
        await user.createBackup();
        await user.createBackup();
      }
      return users;
    }

    it('loses no row of the host’s to an upload that is refused', async () => {
      const host = await start();
      const users = await withBackups(host);
      const stored: string[] = [];
      const store = async (title: string) => {
        const { status } = await fetch(`${host.url}/api/notes`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ title }),
        });
        if (status === 201) stored.push(title);
      };
      for (let round = 0; round < ROUNDS; round++) {
        await Promise.all(
          users.flatMap((user, n) => [
            user.put(`/keys/!r/${round}?version=1`, keyData()),
            store(`${round}/${n}`),
          ]),
        );
      }
      expect(stored).toHaveLength(ROUNDS * users.length);
      const notes = await notesOf(host).find();
      expect(notes.map(({ title }) => title).sort()).toEqual(stored.sort());
    });

    it('loses no key to a transaction of the host’s that is rolled back, nor keeps its rows', async () => {
      const host = await start();
      const users = await withBackups(host);
      const notes = notesOf(host);
      const rolledBack = () =>
        notes.manager.transaction(async (manager) => {
          await manager.save(notes.create({ title: 'never' }));
          throw new Error('never mind');
        });
      for (let round = 0; round < ROUNDS; round++) {
        await Promise.all([
          ...users.map(async (user) => {
            const { status } = await user.put(`/keys/!r/${round}?version=2`, keyData());
            expect(status).toBe(200);
          }),
          expect(rolledBack()).rejects.toThrow('never mind'),
        ]);
      }
      expect(await notes.count()).toBe(0);
      for (const user of users) {
        expect((await user.get('/version')).body).toMatchObject({ count: ROUNDS });
        const { sessions } = (await user.get('/keys/!r?version=2')).body as { sessions: object };
        expect(Object.keys(sessions)).toHaveLength(ROUNDS);
      }
    });

    const uploads = (host: Host, n: number) =>
      alice(host).put(`/keys/!r/${n}?version=1`, keyData({ session_data: { n } }));

    it.each(['COMMIT', 'ROLLBACK'])(
      'waits for a transaction that the host begins by hand, and ends with %s',
      async (end) => {
        const host = await start();
        const dataSource = host.app.get(DataSource);
        await alice(host).createBackup();
        await dataSource.query('BEGIN');
        await dataSource.query("INSERT INTO notes (title) VALUES ('by hand')");
        let isAnswered = false;
        const given = Promise.all([
          uploads(host, 1),
          uploads(host, 2),
          alice(host).get('/version'),
        ]);
        void given.then(() => (isAnswered = true));
        // the queue moves every other millisecond
        await setTimeout(100);
        expect(isAnswered).toBe(false);
        await dataSource.query(end);
        expect((await given).map(({ status }) => status)).toEqual([200, 200, 200]);
        expect(await notesOf(host).count()).toBe(end === 'COMMIT' ? 1 : 0);
        expect((await uploads(host, 3)).body).toMatchObject({ count: 3 });
      },
    );

    it('ends no transaction of the host’s where its own cannot begin', async () => {
      const host = await start();
      const dataSource = host.app.get(DataSource);
      await alice(host).createBackup();
      onStatement(dataSource, 'BEGIN', () => {
        const { databaseConnection } = dataSource.driver as unknown as {
          databaseConnection: { exec: (sql: string) => void };
        };
        databaseConnection.exec("BEGIN; INSERT INTO notes (title) VALUES ('by hand')");
      });
      const answer = await uploads(host, 1);
      expect(answer).toMatchObject({ status: 503, body: { errcode: 'M_UNKNOWN' } });
      expect(answer.headers.get('retry-after')).not.toBeNull();
      await dataSource.query('COMMIT');
      expect(await notesOf(host).count()).toBe(1);
      for (let n = 1; n <= 3; n++)
        expect((await uploads(host, n)).body).toMatchObject({ count: n });
      await notesOf(host).manager.transaction((manager) => manager.clear(Note));
      expect(await notesOf(host).count()).toBe(0);
    });

    it('is free again where the log of the host fails as a transaction is rolled back', async () => {
      const host = await start();
      const dataSource = host.app.get(DataSource);
      await alice(host).createBackup();
      await alice(host).createBackup();
      onStatement(dataSource, 'ROLLBACK', () => {
        throw new Error('no');
      });
      // an upload to a backup that is not the current one is refused under the lock
      expect((await uploads(host, 1)).status).toBe(403);
      expect((await alice(host).put('/keys/!r/1?version=2', keyData())).status).toBe(200);
      await notesOf(host).save({ title: 'stays' });
      expect(await notesOf(host).count()).toBe(1);
    });

    it('loses no row either where the host calls the service itself, and all begins at once', async () => {
      const host = await start();
      const service = host.app.get(RoomKeysService, { strict: false });
      const notes = notesOf(host);
      const backup = { algorithm: MEGOLM_BACKUP_V1, authData: '{}' };
      await service.createBackup('@a:hs1', backup);
      await service.createBackup('@a:hs1', backup);
      for (let round = 0; round < ROUNDS; round++) {
        const refused = service.putKeys('@a:hs1', '1', []);
        const others = Array.from({ length: 20 }, async (_, n) => {
          // each a little later, to meet another moment of the transaction
          for (let step = 0; step < n; step++) await Promise.resolve();
          await notes.save({ title: `${round}/${n}` });
        });
        await expect(refused).rejects.toMatchObject({ status: 403 });
        await Promise.all(others);
      }
      expect(await notes.count()).toBe(ROUNDS * 20);
    });
  });
});
