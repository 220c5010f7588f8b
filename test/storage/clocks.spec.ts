/**
 * Proves that servers whose clocks differ by more than an hour lose no key, remove nothing that is in use and
 * leave nothing behind: what they compare is the clock of the database. Here the clock of this process is moved.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RoomKeysMaintenance, RoomKeysTransfer } from '../../src/operations/index.js';
import { Database } from '../../src/room-keys/storage/database/database.js';
import { RetiredKeysRepository } from '../../src/room-keys/storage/retired-keys.repository.js';
import { RetiredKeysSweeper } from '../../src/room-keys/storage/retired-keys.sweeper.js';
import { StagedKeySet } from '../../src/room-keys/storage/staged-key-set.js';
import { StorageCheck } from '../../src/room-keys/storage/storage-check.js';
import { startApplication, type TestApplication } from '../support/application.js';
import { serverDatabases, type TestDatabase } from '../support/databases.js';
import { keyData, type MatrixClient, roomsBody } from '../support/matrix-client.js';
import { numberOf } from '../support/sql.js';

const HOUR_AND_MORE = 65 * 60 * 1000;
const ALL = '/keys?version=1';
const KEYS = roomsBody(
  Array.from({ length: 20 }, (_, n) => ['!r:hs1', `s${n}`, keyData()] as const),
);

// SQLite's clock is that of the one machine that its processes share

describe.each(serverDatabases)('a key set on $name, beside a clock that is wrong', ({ create }) => {
  let database: TestDatabase;
  let application: TestApplication;
  let maintenance: RoomKeysMaintenance;
  let retired: RetiredKeysRepository;
  let alice: MatrixClient;
  const { now } = Date;

  beforeEach(async () => {
    database = await create();
    application = await startApplication(database);
    await application.app.get(RetiredKeysSweeper).onModuleDestroy();
    maintenance = new RoomKeysMaintenance(application.dataSource);
    retired = new RetiredKeysRepository(application.dataSource);
    alice = application.client('alice');
    await alice.createBackup();
    await alice.put(ALL, KEYS);
  });
  afterEach(async () => {
    Date.now = now;
    await application.close();
    await database.drop();
  });

  const moveClock = (ms: number) => {
    Date.now = () => now() + ms;
  };
  const findings = async () => {
    const found: string[] = [];
    for await (const { code } of maintenance.verify()) found.push(code);
    return found;
  };
  const key = (n: number) => ({
    roomId: '!r:hs1',
    sessionId: `s${n}`,
    isVerified: false,
    firstMessageIndex: 0,
    forwardedCount: 0,
    sessionData: '{}',
  });

  it.each([HOUR_AND_MORE, -HOUR_AND_MORE])(
    'that an import fills stays, seen from a server that is %d ms ahead',
    async (ms) => {
      moveClock(-ms);
      const staged = await StagedKeySet.create(Database.of(application.dataSource));
      await staged.add([key(1)]);
      moveClock(ms);
      expect(await maintenance.sweep()).toEqual({ keySets: 0, rooms: 0, rows: 0 });
      moveClock(-ms);
      await staged.add([key(2)]);
      await staged.discard();
      moveClock(ms);
      expect(await maintenance.sweep()).toEqual({ keySets: 1, rooms: 0, rows: 2 });
      expect(await findings()).toEqual([]);
    },
  );

  it.each([HOUR_AND_MORE, -HOUR_AND_MORE])(
    'is removed when its backup is deleted by a server that is %d ms ahead',
    async (ms) => {
      moveClock(ms);
      await alice.delete('/version/1');
      moveClock(-ms);
      expect(await maintenance.sweep()).toEqual({ keySets: 1, rooms: 0, rows: 20 });
    },
  );

  it('that an import has taken since it was found stays', async () => {
    await application.dataSource.query('UPDATE room_keys_key_sets SET retired_at = 1');
    const [found] = await retired.retired(10);
    await application.dataSource.query('UPDATE room_keys_key_sets SET retired_at = NULL');
    expect(await retired.remove(found!, 500)).toEqual({ rows: 0 });
    expect((await alice.get(ALL)).body).toEqual(KEYS);
    expect(await findings()).toEqual([]);
  });

  it('that waits to be removed is not filled any more', async () => {
    const staged = await StagedKeySet.create(Database.of(application.dataSource));
    await staged.add([key(1)]);
    await application.dataSource.query(
      'UPDATE room_keys_key_sets SET retired_at = 1 WHERE retired_at IS NOT NULL',
    );
    await expect(staged.add([key(2)])).rejects.toThrow('Run it again');
    expect(await maintenance.sweep()).toEqual({ keySets: 1, rooms: 0, rows: 1 });
    await expect(staged.add([key(2)])).rejects.toThrow('Run it again');
    expect(await findings()).toEqual([]);
  });

  it.each([HOUR_AND_MORE, -HOUR_AND_MORE])(
    'is imported by a process that is %d ms ahead, while another one removes what is retired',
    async (ms) => {
      const folder = await mkdtemp(join(tmpdir(), 'room-keys-clocks-'));
      const file = join(folder, 'export.jsonl');
      await writeFile(file, new RoomKeysTransfer(application.dataSource).exportJsonl());
      const target = await create();
      const there = await startApplication(target);
      const other = new RoomKeysMaintenance(there.dataSource);
      moveClock(ms);
      const sweeps: Promise<unknown>[] = [];
      const importing = new RoomKeysTransfer(there.dataSource).importJsonl(file, {
        onProgress: () => sweeps.push(other.sweep()),
      });
      const { users, backups } = await importing;
      expect({ users, created: backups.created }).toEqual({ users: 1, created: 1 });
      await Promise.all([...sweeps, other.sweep()]);
      Date.now = now;
      expect((await there.client('alice').get(ALL)).body).toEqual(KEYS);
      expect(await numberOf(there.dataSource, 'SELECT COUNT(*) FROM room_keys_keys')).toBe(20);
      await there.close();
      await target.drop();
      await rm(folder, { recursive: true });
    },
  );

  it('is reported at the start, with the difference of the clocks', async () => {
    const warnings: unknown[] = [];
    const ignore = () => undefined;
    const warn = (message: unknown) => {
      // a test database is not durable through a power loss, which is logged too
      if (String(message).includes('clock')) warnings.push(message);
    };
    application.app.useLogger({ log: ignore, warn, error: ignore });
    const check = new StorageCheck(application.dataSource);
    await check.onApplicationBootstrap();
    expect(warnings).toEqual([]);
    moveClock(HOUR_AND_MORE);
    await check.onApplicationBootstrap();
    moveClock(-HOUR_AND_MORE);
    await check.onApplicationBootstrap();
    expect(warnings).toEqual([
      expect.stringMatching(
        /^The clock of this machine is 65 minutes ahead of that of the database/,
      ),
      expect.stringMatching(/^The clock of this machine is 65 minutes behind that of the database/),
    ]);
  });
});
