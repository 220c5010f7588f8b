import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** An address that leads to one server after the other. */
export interface Switch {
  /** `host:port`. */
  at: string;
  /** From now on new connections go there; those that are open stay where they are. */
  to: (at: string) => void;
  /** Ends the connections that are open. */
  endAll: () => void;
  close: () => Promise<void>;
}

/** @param at where it leads at first, `host:port` */
export async function startSwitch(at: string): Promise<Switch> {
  let target = at;
  const ends = new Set<Socket>();
  const endAll = () => {
    for (const end of ends) end.destroy();
  };
  const server = createServer((near) => {
    const [hostname, port] = target.split(':');
    const far = connect(Number(port), hostname);
    for (const [end, other] of [
      [near, far],
      [far, near],
    ] as const) {
      ends.add(end);
      end.on('error', () => undefined);
      end.on('close', () => {
        ends.delete(end);
        other.destroy();
      });
      end.pipe(other);
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    at: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    to: (next) => {
      target = next;
    },
    endAll,
    close: async () => {
      endAll();
      server.close();
      await once(server, 'close');
    },
  };
}
