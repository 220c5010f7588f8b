import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** A cable to a server that can be pulled out and put back in. */
export interface Cable {
  /** The URL at this end of it. */
  url: string;
  /** Ends all connections, and takes no new one. */
  pull: () => void;
  /** Lets nothing through any more, and ends nothing: as where a host is gone. Resolves when something was held back. */
  cut: () => Promise<void>;
  /** Ends all connections, and answers each new one as a proxy does that refuses it, with an error of this code. */
  refuse: (code: number | string) => void;
  /** What was cut before stays so; new connections get through. */
  putBack: () => void;
  /** How often something was sent to the server after an answer, since it was last asked for. */
  takeRoundTrips: () => number;
  close: () => Promise<void>;
}

/** Lays a cable to the server of a URL. */
export async function layCable(to: string): Promise<Cable> {
  const { hostname, port } = new URL(to);
  const ends = new Set<Socket>();
  const cutEnds = new WeakSet<Socket>();
  let pulled = false;
  let cut = false;
  let refusal: Buffer | undefined;
  let heldBack: () => void = () => undefined;
  let roundTrips = 0;
  const endAll = () => {
    for (const end of ends) end.destroy();
  };
  const pull = () => {
    pulled = true;
    endAll();
  };
  const server = createServer((near) => {
    if (pulled) {
      near.destroy();
      return;
    }
    if (refusal) {
      near.on('error', () => undefined);
      // what comes is read: the answer would be lost with a connection that ends before
      near.resume();
      near.end(refusal);
      return;
    }
    const far = connect(Number(port), hostname);
    let isAnswering = true;
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
      if (cut) cutEnds.add(end);
      end.on('data', (bytes: Buffer) => {
        if (end === near && isAnswering) roundTrips++;
        isAnswering = end === far;
        if (cutEnds.has(end)) heldBack();
        else if (!other.write(bytes)) end.pause();
      });
      end.on('drain', () => other.resume());
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = new URL(to);
  url.host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url: url.href,
    pull,
    cut: () => {
      cut = true;
      for (const end of ends) cutEnds.add(end);
      return new Promise((resolve) => {
        heldBack = resolve;
      });
    },
    refuse: (code) => {
      refusal = typeof code === 'number' ? mysqlRefusal(code) : postgresRefusal(code);
      endAll();
    },
    putBack: () => {
      pulled = false;
      cut = false;
      refusal = undefined;
    },
    takeRoundTrips: () => {
      const taken = roundTrips;
      roundTrips = 0;
      return taken;
    },
    close: async () => {
      pull();
      server.close();
      await once(server, 'close');
    },
  };
}

/** The first packet of a server of MySQL that wants no connection. */
function mysqlRefusal(errno: number): Buffer {
  const error = Buffer.from('...#HY000refused by a proxy');
  error.writeUInt8(0xff, 0);
  error.writeUInt16LE(errno, 1);
  return Buffer.concat([Buffer.from([error.length, 0, 0, 0]), error]);
}

/** The answer of a server of PostgreSQL that wants no connection, to whatever comes first. */
function postgresRefusal(sqlState: string): Buffer {
  const fields = ['SFATAL', 'VFATAL', `C${sqlState}`, 'Mrefused by a proxy', ''];
  const error = Buffer.from(`E....${fields.join('\0')}\0`);
  error.writeInt32BE(error.length - 1, 1);
  return error;
}
