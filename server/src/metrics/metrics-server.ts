import { Injectable, Logger, type OnApplicationShutdown } from '@nestjs/common';
import { RoomKeysService } from 'nestjs-room-keys';
import { ConnectionLimit } from '../connection-limit.js';
import { Dependencies } from '../health/dependencies.js';
import { MetricsEndpoint } from './metrics-endpoint.js';
import { Metrics } from './metrics.js';

/** Serves the metrics at an address of their own: who reaches the API is not to read them. */
@Injectable()
export class MetricsServer implements OnApplicationShutdown {
  private readonly logger = new Logger('Metrics');
  private readonly endpoint: MetricsEndpoint;

  constructor(
    metrics: Metrics,
    roomKeys: RoomKeysService,
    dependencies: Dependencies,
    connectionLimit: ConnectionLimit,
  ) {
    this.endpoint = new MetricsEndpoint(metrics.registry, ({ message }) => {
      this.logger.error(`The metrics cannot be read: ${message}`);
    });
    metrics.lookUp({
      activity: () => roomKeys.activity(),
      clientConnections: () => connectionLimit.counts,
      dependencies: () => dependencies.up(),
    });
  }

  /**
   * @returns its URL
   * @throws as {@link MetricsEndpoint.listen} does
   */
  listen(host: string, port: number): Promise<string> {
    return this.endpoint.listen(host, port);
  }

  onApplicationShutdown(): void {
    this.endpoint.close();
  }
}
