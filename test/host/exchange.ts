import { createHash } from 'node:crypto';
import { request as httpRequest } from 'node:http';

/** A request as it goes over the wire: no client library tidies up its path or its headers. */
export interface Sent {
  method: string;
  path: string;
  headers?: Record<string, string>;
  body?: string | Uint8Array;
}

/** What came back, in a form that two servers' answers can be compared in. */
export interface Received {
  status: number;
  headers: Record<string, string>;
  /** As it is, or its length and digest where it is too long to be printed. */
  body: string;
}

const PRINTABLE_LENGTH = 2000;

export async function exchange(url: string, { method, path, headers, body }: Sent) {
  const { hostname, port } = new URL(url);
  return new Promise<Received>((resolve, reject) => {
    const sent = httpRequest(
      {
        hostname,
        port,
        method,
        path,
        headers: {
          ...headers,
          ...(body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }),
        },
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => {
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers as Record<string, string>,
            body: printable(Buffer.concat(chunks)),
          });
        });
      },
    );
    sent.on('error', reject);
    sent.end(body);
  });
}

function printable(bytes: Buffer): string {
  if (bytes.length <= PRINTABLE_LENGTH) return bytes.toString('utf8');
  return `${bytes.length} bytes, SHA-256 ${createHash('sha256').update(bytes).digest('hex')}`;
}
