/** The metrics that are not counted from events, but looked up when they are read. */
import { Counter, Gauge, type Registry } from 'prom-client';
import type { Activity } from 'nestjs-room-keys/operations';

/** The connections of clients to a server. */
export interface ClientConnections {
  /** Open, without a request under way. */
  idle: number;
  /** With at least one request under way. */
  busy: number;
  /** Closed so far because there were too many. */
  evicted: number;
}

/** Where the values come from. */
export interface LookedUp {
  clientConnections: () => ClientConnections;
  activity: () => Activity;
  /** By their names, whether each service that this one needs can be used. */
  dependencies: () => Promise<Readonly<Record<string, boolean>>>;
}

/** @param lookedUp undefined before there is a server */
export function showLookedUp(registry: Registry, lookedUp: () => LookedUp | undefined): void {
  showConnections(registry, lookedUp);
  showClients(registry, lookedUp);
  showRestores(registry, lookedUp);
  showDependencies(registry, lookedUp);
}

function showConnections(registry: Registry, lookedUp: () => LookedUp | undefined): void {
  const activity = () => lookedUp()?.activity();
  new Gauge({
    name: 'room_keys_database_connections',
    help: 'Database connections of the pool: used or free.',
    labelNames: ['state'],
    registers: [registry],
    collect() {
      const now = activity()?.connections;
      if (!now) return;
      this.set({ state: 'used' }, now.used);
      this.set({ state: 'free' }, now.free);
    },
  });
  new Gauge({
    name: 'room_keys_database_connections_max',
    help: 'Maximum number of connections of the pool.',
    registers: [registry],
    collect() {
      const now = activity()?.connections;
      if (now) this.set(now.max);
    },
  });
  new Gauge({
    name: 'room_keys_database_waiting',
    help: 'Reads that wait for a connection or for their turn.',
    registers: [registry],
    collect() {
      const now = activity();
      if (now) this.set(now.readsWaiting + (now.connections?.waiting ?? 0));
    },
  });
}

function showClients(registry: Registry, lookedUp: () => LookedUp | undefined): void {
  const connections = () => lookedUp()?.clientConnections();
  new Gauge({
    name: 'room_keys_client_connections',
    help: 'Open client connections: busy with a request, or idle.',
    labelNames: ['state'],
    registers: [registry],
    collect() {
      const now = connections();
      if (!now) return;
      this.set({ state: 'busy' }, now.busy);
      this.set({ state: 'idle' }, now.idle);
    },
  });
  new Counter({
    name: 'room_keys_client_connections_evicted_total',
    help: 'Client connections closed because there were more than MAX_CONNECTIONS: the longest idle, or the new one if none was idle.',
    registers: [registry],
    collect() {
      this.reset();
      this.inc(connections()?.evicted ?? 0);
    },
  });
}

function showRestores(registry: Registry, lookedUp: () => LookedUp | undefined): void {
  const activity = () => lookedUp()?.activity();
  new Gauge({
    name: 'room_keys_restores',
    help: 'Restores: under_way, or waiting to begin.',
    labelNames: ['state'],
    registers: [registry],
    collect() {
      const now = activity();
      if (!now) return;
      this.set({ state: 'under_way' }, now.restores);
      this.set({ state: 'waiting' }, now.restoresWaiting);
    },
  });
  new Gauge({
    name: 'room_keys_changes_waiting',
    help: 'Changes that wait for their turn: the changes of a user are made one at a time.',
    registers: [registry],
    collect() {
      const now = activity();
      if (now) this.set(now.transactionsWaiting);
    },
  });
}

function showDependencies(registry: Registry, lookedUp: () => LookedUp | undefined): void {
  const dependencies = () => lookedUp()?.dependencies();
  new Gauge({
    name: 'room_keys_dependency_up',
    help: 'Whether a dependency is available, 1 or 0: database, verifier, redis.',
    labelNames: ['dependency'],
    aggregator: 'min',
    registers: [registry],
    async collect() {
      for (const [dependency, up] of Object.entries((await dependencies()) ?? {}))
        this.set({ dependency }, up ? 1 : 0);
    },
  });
}
