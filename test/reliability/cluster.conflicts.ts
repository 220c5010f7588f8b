import type { DataSource } from 'typeorm';
import { hashOf } from '../../src/room-keys/storage/import-records.js';
import { type Additions, ImportRepository } from '../../src/room-keys/storage/import.repository.js';
import type { StagedKeySet } from '../../src/room-keys/storage/staged-key-set.js';
import { RoomKeysService } from '../../src/room-keys/room-keys.service.js';
import type { RoomKey } from '../../src/index.js';
import type { ClusterUnderTest } from './cluster.suite.js';
import { commitAtOnce, holdAt } from './meetings.js';
import { inspectRows } from './stored-rows.js';
import { RoomKeysRepository } from '../../src/room-keys/storage/room-keys.repository.js';
import { Removals } from '../../src/room-keys/removals.js';

const INFORMATION = { algorithm: 'm.megolm_backup.v1.curve25519-aes-sha2', authData: '{}' };
const KEY: RoomKey = {
  roomId: '!r:hs1',
  sessionId: 's',
  firstMessageIndex: 0,
  forwardedCount: 0,
  isVerified: false,
  sessionData: '{}',
};

/** A new backup of an import. */
const addition = (version: number, keys: StagedKeySet): Additions => ({
  lastVersion: 2,
  reserved: [],
  backups: [
    {
      ...INFORMATION,
      version,
      etag: 0,
      keys,
      record: { sourceEtag: 0, etag: 0, authDataHash: hashOf(INFORMATION.authData) },
    },
  ],
});

/** Transactions that write different rows, on two nodes that hear nothing of each other's locks. */
export function describeClusterConflicts(test: ClusterUnderTest): void {
  describe('of transactions that commit on two nodes at the same moment', () => {
    let users = 0;
    let user: string;
    /** The database's codes for transactions that gave way. */
    let conflicts: string[];
    let here: ReturnType<typeof through>;
    let there: ReturnType<typeof through>;

    /** What is wrong with the rows, through each node. */
    const faults = () =>
      Promise.all(test.dataSources.map(async (one) => (await inspectRows(one)).faults));
    let before: string[][];

    beforeEach(async () => {
      before = await faults();
      user = `@user${++users}:hs1`;
      conflicts = [];
      here = through(test.dataSources[0]!);
      there = through(test.dataSources[1]!);
    });
    afterEach(async () => {
      // one test's are not the next one's
      expect(await faults()).toEqual(before);
    });

    const through = (dataSource: DataSource) => {
      const repository = new RoomKeysRepository(dataSource, ({ code }) => conflicts.push(code));
      const removals = new Removals(repository);
      return {
        dataSource,
        service: new RoomKeysService(repository, removals, {}),
        removals,
        storage: new ImportRepository(dataSource),
      };
    };
    /** The first through one node, the second through another. */
    const atOnce = async (first: () => Promise<unknown>, second: () => Promise<unknown>) => {
      const [one, other, third] = test.cluster.nodes;
      return commitAtOnce(
        [
          { node: one!, dataSource: here.dataSource, operation: first },
          { node: other!, dataSource: there.dataSource, operation: second },
        ],
        third!,
      );
    };
    const versions = async (count: number) => {
      for (let n = 0; n < count; n += 1) await here.service.createBackup(user, INFORMATION);
    };

    it('those that delete two backups leave none of them the current one', async () => {
      await versions(2);
      await atOnce(
        () => here.service.deleteBackup(user, '1'),
        () => there.service.deleteBackup(user, '2'),
      );
      expect(conflicts).toEqual([expect.stringMatching(test.kind.conflict)]);
      await expect(here.service.currentBackup(user)).rejects.toThrow('No current backup version');
    });

    it('one that stores a key meets the one that makes a newer backup', async () => {
      await versions(1);
      const [upload] = await atOnce(
        () => here.service.putKeys(user, '1', [KEY]),
        () => there.service.createBackup(user, INFORMATION),
      );
      expect(conflicts).toEqual([expect.stringMatching(test.kind.conflict)]);
      const { count } = await there.service.backup(user, '1');
      expect(count).toBe(upload?.status === 'fulfilled' ? 1 : 0);
      expect((await here.service.currentBackup(user)).version).toBe('2');
    });

    it('one that stores a key in a room without keys is not robbed of the room', async () => {
      await versions(1);
      await here.service.putKeys(user, '1', [KEY]);
      await here.service.deleteKeys(user, '1', KEY);
      await atOnce(
        () => here.service.putKeys(user, '1', [KEY]),
        () => there.service.deleteKeys(user, '1', { roomId: KEY.roomId }),
      );
      expect(await there.service.key(user, '1', KEY)).toEqual(KEY);
    });

    it('one that imports a backup meets the one that deletes the current one', async () => {
      await versions(2);
      await here.service.deleteBackup(user, '1');
      const keys = await here.storage.stage();
      await atOnce(
        () =>
          here.storage.attach(
            user,
            addition(1, keys),
            ({ currentVersion }) => currentVersion === 2,
          ),
        () => there.service.deleteBackup(user, '2'),
      );
      const current = await there.service.currentBackup(user).catch(() => undefined);
      expect((await there.service.backup(user, '1').catch(() => undefined))?.version).toBe(
        current?.version,
      );
    });

    it('one that imports a newer backup meets the one that stores a key in the present one', async () => {
      await versions(1);
      const keys = await here.storage.stage();
      const [attached, upload] = await atOnce(
        () =>
          here.storage.attach(
            user,
            addition(2, keys),
            ({ currentVersion }) => currentVersion === 1,
          ),
        () => there.service.putKeys(user, '1', [KEY]),
      );
      expect(conflicts).toEqual([expect.stringMatching(test.kind.conflict)]);
      expect(attached?.status).toBe('fulfilled');
      // either the key comes first, or it is refused
      const { count } = await there.service.backup(user, '1');
      expect(count).toBe(upload?.status === 'fulfilled' ? 1 : 0);
      expect((await here.service.currentBackup(user)).version).toBe('2');
    });

    it('one that erases a user finds the keys of a backup that is being emptied', async () => {
      await versions(1);
      await here.service.putKeys(user, '1', [KEY]);
      const hold = holdAt(here.dataSource, /^UPDATE `room_keys_key_sets`/);
      const erasure = here.removals.user(user, null);
      await hold.arrived;
      await there.service.deleteKeys(user, '1');
      // it reads when the other's node has received that
      await test.dataSources[0]!.query('SELECT 1');
      hold.goOn();
      await erasure;
      // afterEach finds what would be left
      await expect(there.service.backup(user, '1')).rejects.toThrow('Unknown backup version');
    });
  });
}
