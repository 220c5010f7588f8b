/** Reads the bytes of a body, within limits of size, memory and time. */
import type { IncomingMessage } from 'node:http';
import { Readable, type Transform } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';
import {
  MatrixError,
  notJson,
  tooLarge,
  tooSlow,
  unsupportedEncoding,
} from '../room-keys.errors.js';
import type { Reservation } from './body-memory-limit.js';

/** Limits for reading a body. */
export interface BodyBounds {
  /** Maximum size of the body in bytes, after decompression. */
  maxBytes: number;
  /** Milliseconds for which the client may pause. */
  idleMs: number;
  /** Memory for its bytes, after decompression. */
  reservation: Reservation;
}

const DECOMPRESSORS: Readonly<Record<string, (() => Transform) | undefined>> = {
  gzip: createGunzip,
  deflate: createInflate,
  br: createBrotliDecompress,
};

/**
 * Reads a whole body. The rest of a refused body is discarded: see `lingeringClose`.
 *
 * @param use processes the bytes synchronously: the next body overwrites them
 * @throws 413 `M_TOO_LARGE`, 408 if the client paused for too long, 503 if the memory limit is reached, 415 for
 *   another Content-Encoding, 400 `M_NOT_JSON` if the body cannot be decompressed or is cut off
 */
export async function readBytes<T>(
  request: IncomingMessage,
  bounds: BodyBounds,
  use: (bytes: Buffer) => T,
): Promise<T> {
  const encoding = request.headers['content-encoding']?.toLowerCase() ?? '';
  if (encoding !== '' && encoding !== 'identity')
    return use(await decompressed(request, encoding, bounds));
  const length = Number(request.headers['content-length'] ?? 0);
  if (length > bounds.maxBytes) throw largerThan(bounds.maxBytes);
  // now, rather than in the middle of a body that could not be read to its end
  bounds.reservation.reserve(length);
  const memory = acquireMemory(length);
  try {
    return use(await collect(request, request, bounds, memory));
  } finally {
    releaseMemory(memory);
  }
}

async function decompressed(
  request: IncomingMessage,
  encoding: string,
  bounds: BodyBounds,
): Promise<Buffer> {
  const decompressor = decompressorOf(encoding);
  try {
    return await collect(request, request.pipe(decompressor), bounds);
  } finally {
    request.unpipe(decompressor);
    // unpipe pauses the request: the rest of it would block the next request of the connection
    request.resume();
    // errors from here on do not matter
    decompressor.on('error', () => undefined).destroy();
  }
}

/**
 * Decompresses a body that the host has read, by the Content-Encoding of its request.
 *
 * @throws 413 `M_TOO_LARGE`, 415 for another Content-Encoding, 400 `M_NOT_JSON` if it cannot be decompressed
 */
export async function decompressedBytes(
  bytes: Buffer,
  { headers }: IncomingMessage,
  { maxBytes, reservation }: BodyBounds,
): Promise<Buffer> {
  const encoding = headers['content-encoding']?.toLowerCase() ?? '';
  if (encoding === '' || encoding === 'identity') return bytes;
  const decompressor = decompressorOf(encoding);
  const pieces = new Bytes();
  try {
    for await (const piece of Readable.from([bytes]).pipe(decompressor) as AsyncIterable<Buffer>) {
      if (pieces.length + piece.length > maxBytes) throw largerThan(maxBytes);
      reservation.reserve(bytes.length + pieces.length + piece.length);
      pieces.add(piece);
    }
    return pieces.inOnePiece();
  } catch (error) {
    throw error instanceof MatrixError ? error : notJson('The body cannot be read.');
  }
}

function decompressorOf(encoding: string): Transform {
  const decompressor = Object.hasOwn(DECOMPRESSORS, encoding) && DECOMPRESSORS[encoding]?.();
  if (!decompressor) throw unsupportedEncoding();
  return decompressor;
}

/**
 * @param source of the bytes: the request itself, or its decompressor
 * @param memory used for the bytes as long as they fit
 */
function collect(
  request: IncomingMessage,
  source: Readable,
  { maxBytes, idleMs, reservation }: BodyBounds,
  memory?: Buffer,
): Promise<Buffer> {
  // it would not emit any more events
  if (request.destroyed && !request.complete) return Promise.reject(brokenOff());
  return new Promise((resolve, reject) => {
    const bytes = new Bytes(memory);
    let moved = false;
    const end = (refusal?: MatrixError) => {
      clearTimeout(idle);
      request.off('data', onMove).off('close', onClose);
      source.off('data', onData).off('end', onEnd).off('error', onError);
      if (refusal) reject(refusal);
      else resolve(bytes.inOnePiece());
    };
    const idle = setTimeout(() => {
      moved = false;
      // lets data that arrived while the process was busy be read first
      setImmediate(() => {
        if (!moved) end(tooSlow());
      });
    }, idleMs);
    const onMove = () => {
      moved = true;
      idle.refresh();
    };
    const onData = (piece: Buffer) => {
      try {
        if (bytes.length + piece.length > maxBytes) throw largerThan(maxBytes);
        reservation.reserve(bytes.length + piece.length);
        bytes.add(piece);
      } catch (refusal) {
        end(refusal as MatrixError);
      }
    };
    const onEnd = () => {
      end();
    };
    const onError = () => {
      end(notJson('The body cannot be read.'));
    };
    // the decompressor does not emit an end or error for a body that is cut off
    const onClose = () => {
      if (!request.complete) end(brokenOff());
    };
    request.on('data', onMove).on('close', onClose);
    source.on('data', onData).on('end', onEnd).on('error', onError);
  });
}

const BLOCK_BYTES = 64 * 1024;

/**
 * Collects pieces of bytes. They are copied: of a body sent byte by byte, each piece would take more
 * than a hundred bytes of memory.
 */
class Bytes {
  length = 0;
  private readonly full: Buffer[] = [];
  private free: number;

  constructor(private block: Buffer = Buffer.alloc(0)) {
    this.free = block.length;
  }

  add(piece: Buffer): void {
    this.length += piece.length;
    for (let rest = piece; rest.length > 0;) {
      if (this.free === 0) this.newBlock(rest.length);
      const copied = rest.copy(this.block, this.block.length - this.free);
      this.free -= copied;
      rest = rest.subarray(copied);
    }
  }

  inOnePiece(): Buffer {
    if (this.full.length === 0) return this.block.subarray(0, this.length);
    return Buffer.concat([...this.full, this.block], this.length);
  }

  private newBlock(atLeast: number): void {
    if (this.block.length > 0) this.full.push(this.block);
    // small for bodies that may stay small, of the exact size for large pieces
    this.free = Math.min(BLOCK_BYTES, Math.max(atLeast, this.length));
    this.block = Buffer.allocUnsafeSlow(this.free);
  }
}

/** Body lengths for which buffers are reused: from where new memory is expensive, up to above real batches. */
const KEPT_BYTES = { least: 16 * 1024, most: 256 * 1024 };
const MOST_KEPT = 16;
/**
 * Buffers of earlier bodies. The system allocates memory page by page when it is first written to, and
 * for a body of 86 kB that took longer than all processing of its bytes.
 */
const kept: Buffer[] = [];

/** A buffer for this many bytes, not cleared. */
function acquireMemory(length: number): Buffer {
  if (length < KEPT_BYTES.least || length > KEPT_BYTES.most) return Buffer.allocUnsafeSlow(length);
  return kept.pop() ?? Buffer.allocUnsafeSlow(KEPT_BYTES.most);
}

/** The buffer must not be used any more. */
function releaseMemory(memory: Buffer): void {
  if (memory.length === KEPT_BYTES.most && kept.length < MOST_KEPT) kept.push(memory);
}

const largerThan = (bytes: number) => tooLarge(`The body is larger than ${bytes} bytes.`);
const brokenOff = () => notJson('The body is incomplete.');
