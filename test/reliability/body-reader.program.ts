/**
 * THE PROGRAM OF A PROCESS THAT ONLY READS BODIES of `PUT keys`, without a database: `body-reading.ts` starts it.
 * It answers with what one reading took: `POST /reset` begins a new measurement, `GET /` is the result.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Request } from 'express';
import { readJson } from '../../src/room-keys/http/json-body.interceptor.js';
import { allRoomsBody } from '../../src/room-keys/http/bodies.js';
import { MatrixError } from '../../src/room-keys/room-keys.errors.js';

const LOOK_EVERY_MS = 5;

const memory = (field: 'VmHWM' | 'VmRSS') => {
  const status = readFileSync('/proc/self/status', 'utf8');
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]) * 1024;
};

let idleMemory = 0;
let longestStallMs = 0;
let last = performance.now();
let lastCpu = process.cpuUsage();

setInterval(() => {
  const now = performance.now();
  const { user, system } = process.cpuUsage(lastCpu);
  // of the time that passes, a busy machine gives some to others
  const workedMs = Math.min(now - last - LOOK_EVERY_MS, (user + system) / 1000);
  longestStallMs = Math.max(longestStallMs, workedMs);
  last = now;
  lastCpu = process.cpuUsage();
}, LOOK_EVERY_MS);

/** Begins a measurement: the peak of the memory is that of now, and nothing has stalled. */
function reset(): void {
  globalThis.gc?.();
  writeFileSync('/proc/self/clear_refs', '5');
  idleMemory = memory('VmRSS');
  longestStallMs = 0;
  last = performance.now();
  lastCpu = process.cpuUsage();
}

async function read(request: IncomingMessage): Promise<string> {
  const begun = performance.now();
  const reservation = { reserve: () => undefined, release: () => undefined };
  const bounds = { maxBytes: 16 * 1024 * 1024, idleMs: 60_000, reservation };
  let outcome = 'read';
  let stored = 0;
  try {
    const keys = allRoomsBody(await readJson(request as Request, bounds));
    for (const { sessionData } of keys) stored += sessionData.length;
  } catch (error) {
    if (!(error instanceof MatrixError)) throw error;
    outcome = error.body.errcode;
  }
  // the turn of the event loop in which a stall shows
  const durationMs = performance.now() - begun;
  await new Promise((resolve) => setTimeout(resolve, 4 * LOOK_EVERY_MS));
  const memoryOverIdle = memory('VmHWM') - idleMemory;
  return JSON.stringify({ outcome, stored, durationMs, longestStallMs, memoryOverIdle });
}

const server = createServer((request, response) => {
  if (request.url === '/reset') {
    reset();
    response.end();
    return;
  }
  void read(request).then((result) => response.end(result));
});
server.listen(0, '127.0.0.1', () => {
  process.send?.({ port: (server.address() as AddressInfo).port });
});
