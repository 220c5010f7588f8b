import { Agent, request as httpRequest } from 'node:http';

/** What came back, nothing of it interpreted. */
export interface WireAnswer {
  status: number;
  headers: NodeJS.Dict<string | string[]>;
  text: string;
}

/** Sends requests whose paths and bodies no client library tidies up, on connections that stay open. */
export class Wire {
  // With a timeout, the agent lets go of an idle connection before the server closes it, as the answer's
  // Keep-Alive announces. Without one it does not, and writes into a connection that is being closed.
  private readonly agent = new Agent({ keepAlive: true, maxSockets: 16, timeout: 60_000 });
  private readonly hostname: string;
  private readonly port: string;

  /** @param url such as `http://127.0.0.1:8090` */
  constructor(url: string) {
    ({ hostname: this.hostname, port: this.port } = new URL(url));
  }

  send(
    method: string,
    path: string,
    headers: Record<string, string> = {},
    body?: string | Buffer,
  ): Promise<WireAnswer> {
    return new Promise((resolve, reject) => {
      const { hostname, port, agent } = this;
      const length = body === undefined ? {} : { 'Content-Length': Buffer.byteLength(body) };
      const sent = httpRequest(
        { hostname, port, agent, method, path, headers: { ...headers, ...length } },
        (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('error', reject);
          response.on('end', () => {
            const { statusCode = 0, headers: got } = response;
            resolve({ status: statusCode, headers: got, text: Buffer.concat(chunks).toString() });
          });
        },
      );
      sent.on('error', reject);
      sent.end(body);
    });
  }

  close(): void {
    this.agent.destroy();
  }
}
