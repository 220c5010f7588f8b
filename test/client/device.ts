import { ClientEvent, createClient, type MatrixClient as SdkClient, Method } from 'matrix-js-sdk';
import { type CryptoApi, CryptoEvent } from 'matrix-js-sdk/lib/crypto-api/index.js';
import { Exchanges } from './exchanges.js';
import { teachManners } from './sdk-manners.js';
import { until } from './until.js';

/** Who logs in. */
export interface Account {
  /** Such as `@alice:example.org`. */
  user_id: string;
  password: string;
}

/** What a user writes down: it opens the secret storage, and with it the backup. */
export type RecoveryKey = Uint8Array<ArrayBuffer>;

/**
 * A device of a user: matrix-js-sdk with Rust crypto, logged in and syncing, whose keys are in memory.
 *
 * It knows one base URL, as a client does. Which server has the key backup is for whoever answers there
 * to decide: the homeserver itself, or a proxy in front of it.
 */
export class Device {
  /** Logs in with the password, and waits for the first sync. */
  static async logIn(baseUrl: string, { user_id, password }: Account): Promise<Device> {
    teachManners();
    const { device_id, access_token } = await createClient({ baseUrl }).loginRequest({
      type: 'm.login.password',
      identifier: { type: 'm.id.user', user: user_id },
      password,
    });
    const device = new Device(baseUrl, { user_id, password }, device_id, access_token);
    await device.start();
    return device;
  }

  /** All that it said to the key backup. */
  readonly exchanges = new Exchanges();
  readonly client: SdkClient;
  private recoveryKey: RecoveryKey | undefined;

  private constructor(
    baseUrl: string,
    private readonly account: Account,
    deviceId: string,
    accessToken: string,
  ) {
    this.client = createClient({
      baseUrl,
      userId: account.user_id,
      deviceId,
      accessToken,
      fetchFn: this.exchanges.fetch,
      cryptoCallbacks: {
        getSecretStorageKey: ({ keys }) => {
          const [keyId] = Object.keys(keys);
          const key = this.recoveryKey;
          return Promise.resolve(keyId !== undefined && key ? [keyId, key] : null);
        },
        cacheSecretStorageKey: (_keyId, _keyInfo, key) => {
          this.recoveryKey = new Uint8Array(key);
        },
      },
    });
  }

  get crypto(): CryptoApi {
    return this.client.getCrypto()!;
  }

  /**
   * What a client does when encryption is set up for the first time: cross-signing, secret storage, and
   * a new backup whose key is in it.
   */
  async setUpEncryption(): Promise<RecoveryKey> {
    await this.crypto.bootstrapCrossSigning({ authUploadDeviceSigningKeys: this.withPassword });
    await this.crypto.bootstrapSecretStorage({
      createSecretStorageKey: () => this.crypto.createRecoveryKeyFromPassphrase(),
      setupNewSecretStorage: true,
      setupNewKeyBackup: true,
    });
    return this.recoveryKey!;
  }

  /**
   * What a client does on a new device whose user enters the recovery key: the device signs itself, and
   * has the key to the backup. It then uploads its own sessions there, and fetches one by one those
   * that it misses when a message cannot be read.
   */
  async enterRecoveryKey(recoveryKey: RecoveryKey): Promise<void> {
    this.recoveryKey = recoveryKey;
    const downloaded = await this.crypto.userHasCrossSigningKeys(this.account.user_id, true);
    if (!downloaded) throw new Error('The homeserver has no cross-signing keys of this user');
    await this.crypto.bootstrapCrossSigning({});
    await this.crypto.loadSessionBackupPrivateKeyFromSecretStorage();
    await this.crypto.checkKeyBackupAndEnable();
  }

  /** What a client does when its user resets the backup: a new one in place of all that there were. */
  async resetBackup(): Promise<void> {
    await this.crypto.resetKeyBackup();
  }

  /**
   * What a client does when its user has lost every key: it deletes all backups and the secret storage, and begins anew,
   * with another cross-signing identity and an empty backup.
   */
  async resetEncryption(): Promise<void> {
    await this.crypto.resetEncryption(this.withPassword);
  }

  async deleteBackup(version: string): Promise<void> {
    await this.crypto.deleteKeyBackupVersion(version);
  }

  /** What a client does when it starts: it looks which backup there is, and whether to upload to it. */
  async lookForBackup(): Promise<void> {
    await this.crypto.checkKeyBackupAndEnable();
  }

  /** Fetches the whole backup; it has the key to it. */
  restore(): Promise<{ total: number; imported: number }> {
    return this.crypto.restoreKeyBackup();
  }

  /** The ids of all Megolm sessions that it has. */
  async sessions(): Promise<string[]> {
    return (await this.crypto.exportRoomKeys()).map(({ session_id }) => session_id);
  }

  /** The backup that is current at the server, as it says. */
  currentBackup(): Promise<{ version: string; count: number; etag: string }> {
    return this.client.http.authedRequest(Method.Get, '/room_keys/version', undefined, undefined, {
      prefix: '/_matrix/client/v3',
      priority: 'auto',
    });
  }

  /** Waits until all of its sessions are in the current backup; the SDK begins within ten seconds. */
  async backedUp(): Promise<void> {
    let state = '';
    const uploaded = async () => {
      const active = await this.crypto.getActiveSessionBackupVersion();
      const [{ count, version }, { length }] = [await this.currentBackup(), await this.sessions()];
      state = `${count} keys in backup ${version}, ${length} sessions, uploading to ${active}`;
      return active === version && count >= length;
    };
    await until(this.client, CryptoEvent.KeyBackupSessionsRemaining, uploaded, () => state);
  }

  /** Logs out and ends. */
  async logOut(): Promise<void> {
    await this.client.logout(true);
    this.client.stopClient();
  }

  private readonly withPassword: Parameters<CryptoApi['resetEncryption']>[0] = async (upload) => {
    await upload({
      type: 'm.login.password',
      identifier: { type: 'm.id.user', user: this.account.user_id },
      password: this.account.password,
    });
  };

  private async start(): Promise<void> {
    await this.client.initRustCrypto({ useIndexedDB: false });
    await this.client.startClient({ initialSyncLimit: 50 });
    const synced = () => this.client.isInitialSyncComplete();
    await until(this.client, ClientEvent.Sync, synced, () => 'the first sync');
  }
}
