import { setTimeout as sleep } from 'node:timers/promises';
import type { DataSource } from 'typeorm';
import { RoomKeysMaintenance } from '../../src/operations/index.js';
import { Devices } from './devices.js';
import { KnownStates } from './known-states.js';
import { Random } from './random.js';
import { RestartableServer, tokensOf } from './restartable-server.js';
import { inspectRows } from './stored-rows.js';
import { Wire, type WireAnswer } from './wire.js';
import { ROOM_KEYS } from './paths.js';

/** The eight devices are alice's; the others are her neighbours in every table and index. */
const DEVICES = { alice: 8, bob: 2, zoe: 2 };
const USERS = Object.keys(DEVICES) as (keyof typeof DEVICES)[];
/** Has no backup: what this user asks for changes nothing, and takes a transaction all the same. */
const NOBODY = 'eve';
/** Owns the backup whose rows are swept. */
export const LEAVER = 'carol';

/** After so long a server looks for rows to sweep, whether or not it has been woken. */
export const SWEEP_INTERVAL_MS = 60_000;
/** Far more than the servers take to sweep what there is here, even if one broke off, and begins again after that time. */
const SWEPT_MS = 300_000;

/** What came of it all, for a line of figures. */
export interface Tally {
  kills: number;
  requests: number;
  writes: number;
  keys: number;
  unanswered: number;
  longestToHeal: number;
}

/** Some users' devices at work on some servers, any of which may be killed, and what they were told. */
export class Crowd {
  readonly tally: Tally = {
    kills: 0,
    requests: 0,
    writes: 0,
    keys: 0,
    unanswered: 0,
    longestToHeal: 0,
  };
  readonly users: Devices[];
  readonly random: Random;
  private readonly wires = new Map<RestartableServer, Wire>();
  private readonly resting = new Set<RestartableServer>();
  private readonly states: KnownStates;
  private goesOn = false;
  private working: Promise<unknown> = Promise.resolve();
  private failure: Error | undefined;

  private constructor(
    readonly servers: readonly RestartableServer[],
    seed: number,
  ) {
    this.random = new Random(seed);
    this.states = new KnownStates(seed);
    for (const server of servers) this.wires.set(server, new Wire(server.url));
    const wires = () => servers.filter((one) => !this.resting.has(one)).map((one) => this.to(one));
    this.users = USERS.map(
      (user) => new Devices(user, wires, this.random, { rooms: 3, sessions: 8, largestUpload: 16 }),
    );
  }

  /** Starts so many servers on a database. */
  static async on(url: string, servers: number, seed: number): Promise<Crowd> {
    const variables = { DATABASE_URL: url, DEV_TOKENS: tokensOf([...USERS, NOBODY, LEAVER]) };
    return new Crowd(
      await Promise.all(
        Array.from({ length: servers }, () => new RestartableServer(variables).start()),
      ),
      seed,
    );
  }

  async end(): Promise<void> {
    for (const wire of this.wires.values()) wire.close();
    await Promise.all(this.servers.map((server) => server.stop()));
  }

  to(server: RestartableServer): Wire {
    const wire = this.wires.get(server);
    if (!wire) throw new Error('That server is none of ours');
    return wire;
  }

  /** All devices begin to work. */
  begin(): void {
    this.goesOn = true;
    this.working = Promise.all(
      this.users.flatMap((devices) =>
        Array.from({ length: DEVICES[devices.user as keyof typeof DEVICES] }, () =>
          devices.device(() => this.goesOn),
        ),
      ),
    );
    this.working.catch((error: unknown) => {
      this.failure = error as Error;
    });
  }

  /** Resolves in the middle of the work, so many of alice's requests later. */
  async after(requests: number): Promise<void> {
    const [alice] = this.users;
    if (!alice) return;
    const enough = alice.history.length + requests;
    while (alice.history.length < enough) {
      if (this.failure) throw this.failure;
      await sleep(2);
    }
  }

  /** From this moment on, no device begins with another request. */
  halt(): void {
    this.goesOn = false;
  }

  /** Halts, and resolves when no request is pending. */
  async rest(): Promise<void> {
    this.halt();
    await this.working;
  }

  /** From now on no request goes to a server, which is killed. */
  async kill(server: RestartableServer): Promise<void> {
    this.resting.add(server);
    if (this.resting.size === this.servers.length) this.halt();
    this.tally.kills += 1;
    await server.kill();
  }

  /** Starts a server that was killed. */
  async restart(server: RestartableServer): Promise<void> {
    const begun = performance.now();
    await server.start();
    await this.heals(server, begun);
    this.resting.delete(server);
  }

  /** Asks a server until it can serve; counts how long that took. */
  async heals(server: RestartableServer, since: number): Promise<void> {
    while ((await this.probe(server)).status === 503) await sleep(10);
    this.tally.longestToHeal = Math.max(this.tally.longestToHeal, performance.now() - since);
  }

  /** A request that needs the database, and changes nothing: 404 where all is well. */
  probe(server: RestartableServer): Promise<WireAnswer> {
    const headers = { Authorization: `Bearer ${NOBODY}` };
    return this.to(server).send('DELETE', `${ROOM_KEYS}/keys?version=1`, headers);
  }

  /**
   * Proves that every acknowledged change is there, that the others are whole or absent, and that the
   * rows are in order, in the eyes of a test and of the product's own command.
   */
  async prove(dataSource: DataSource): Promise<void> {
    for (const devices of this.users) {
      this.count(devices);
      await this.states.prove(devices);
    }
    expect((await inspectRows(dataSource)).faults).toEqual([]);
    const findings: string[] = [];
    for await (const { message } of new RoomKeysMaintenance(dataSource).verify())
      findings.push(message);
    expect(findings).toEqual([]);
  }

  /** Waits until the servers have swept all there is to sweep, and proves that the rows are those that should be there. */
  async proveSwept(dataSource: DataSource): Promise<void> {
    let rows = await inspectRows(dataSource);
    for (const deadline = performance.now() + SWEPT_MS; rows.retired > 0;) {
      if (performance.now() > deadline)
        throw new Error(`${rows.retired} sets still wait to be swept`);
      await sleep(20);
      rows = await inspectRows(dataSource);
    }
    for (const devices of this.users) this.states.settle(devices);
    expect(rows).toEqual({ faults: [], retired: 0, ...this.states.content });
  }

  /** One line of figures. */
  get figures(): string {
    const { kills, requests, writes, keys, unanswered, longestToHeal } = this.tally;
    return `${kills} kills, ${requests} requests, acknowledged: ${writes} changes with ${keys} keys, ${unanswered} changes unanswered, keys lost: 0, healed within ${Math.round(longestToHeal)} ms`;
  }

  private count({ history }: Devices): void {
    for (const { operation, answer } of history) {
      this.tally.requests += 1;
      if (operation.kind.startsWith('read')) continue;
      if (answer === undefined) this.tally.unanswered += 1;
      else {
        this.tally.writes += 1;
        if (operation.kind === 'put keys' && answer.startsWith('count'))
          this.tally.keys += operation.keys.length;
      }
    }
  }
}
