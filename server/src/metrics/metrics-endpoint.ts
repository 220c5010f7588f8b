import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { urlOf } from '../listening.js';
import { aboutListening } from '../start-failure.js';

/** What is served: metrics in Prometheus' text format. */
export interface MetricsText {
  readonly contentType: string;
  metrics(): Promise<string>;
}

/** An address at which there are metrics, and nothing else. */
export class MetricsEndpoint {
  private readonly server = createServer((request, response) => {
    this.answer(request, response).catch((error: unknown) => {
      this.failed(error as Error);
      response.writeHead(500).end();
    });
  });

  /** @param failed called with the reason if the metrics cannot be read and the response is 500 */
  constructor(
    private readonly text: MetricsText,
    private readonly failed: (error: Error) => void,
  ) {}

  /**
   * @returns its URL
   * @throws the error of the operating system, `prefix` beside it: that of the settings it is about
   */
  async listen(host: string, port: number): Promise<string> {
    this.server.listen(port, host);
    await once(this.server, 'listening').catch((error: unknown) => {
      throw aboutListening(error, 'METRICS_');
    });
    return `${urlOf(this.server)}/metrics`;
  }

  close(): void {
    this.server.close();
    this.server.closeAllConnections();
  }

  private async answer(
    { method = '', url = '' }: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    const [path] = url.split('?');
    if (path !== '/metrics' || !['GET', 'HEAD'].includes(method)) {
      response
        .writeHead(404, { 'Content-Type': 'text/plain' })
        .end('The metrics are at /metrics.\n');
      return;
    }
    const text = await this.text.metrics();
    response
      .writeHead(200, { 'Content-Type': this.text.contentType, 'Cache-Control': 'no-store' })
      .end(text);
  }
}
