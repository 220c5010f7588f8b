import { writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { adapted } from '../../server/test/proxy/configuration.js';
import { freePort } from '../../server/test/proxy/processes.js';
import type { DatabaseCluster } from './database-cluster.js';
import { KeptProcess } from './kept-process.js';

const PATIENCE_MS = 240_000;

/** What differs between databases: MySQL's where nothing else is said. */
interface Behind {
  /** The port of the file at which HAProxy listens, and that of the servers. */
  ports: [proxy: number, server: number];
  /** Whether HAProxy, at `host:port`, leads to where it should. */
  isReady: (at: string) => Promise<boolean>;
}

/** HAProxy as a file of docs/proxies has it, but for the addresses, in front of a cluster. */
export async function startHaproxy(
  program: string,
  file: string,
  { folder, nodes }: Pick<DatabaseCluster, 'folder'> & { nodes: readonly { at: string }[] },
  { ports: [port, serverPort], isReady }: Behind = { ports: [3307, 3306], isReady: greets },
): Promise<{ at: string; stop: () => Promise<void> }> {
  const at = `127.0.0.1:${await freePort()}`;
  const configuration = await adapted(file, [
    [`bind 127.0.0.1:${port}`, `bind ${at}`],
    // a node that is slow to answer a check is there; one that was killed refuses it at once
    ['    timeout connect 2s', '    timeout connect 2s\n    timeout check 2m'],
    ...nodes.map((node, index): [string, string] => [`10.0.0.${index + 1}:${serverPort}`, node.at]),
  ]);
  const own = join(folder, 'haproxy.cfg');
  writeFileSync(own, configuration);
  const haproxy = new KeptProcess(folder, join(folder, 'haproxy'), [program, '-db', '-f', own]);
  const deadline = Date.now() + PATIENCE_MS;
  while (!(await isReady(at))) {
    if (haproxy.hasEnded || Date.now() > deadline) {
      throw new Error(`HAProxy does not start: ${haproxy.log}`);
    }
    await sleep(50);
  }
  return { at, stop: () => haproxy.stop() };
}

/** Whether there is a node behind it: a database is the first to say something. */
function greets(at: string): Promise<boolean> {
  const { hostname, port } = new URL(`http://${at}`);
  return new Promise((resolve) => {
    const socket = createConnection(Number(port), hostname);
    socket.once('data', () => {
      resolve(true);
      socket.destroy();
    });
    socket.once('error', () => undefined);
    socket.once('close', () => {
      resolve(false);
    });
  });
}
