import { Counter, Gauge, type Registry } from 'prom-client';

/** The connections of clients to a server. */
export interface ClientConnections {
  /** Open, without a request under way. */
  idle: number;
  /** With at least one request under way. */
  busy: number;
  /** Closed so far because there were too many. */
  evicted: number;
}

/** @param connections as they are when the metrics are read; undefined before there is a server */
export function showClientConnections(
  registry: Registry,
  connections: () => ClientConnections | undefined,
): void {
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
