import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../proxy/processes.js';
import { monitoringFile } from './monitoring.files.js';

const START_LIMIT_MS = 240_000;

/** An alert that is pending or fires. */
export interface ActiveAlert {
  labels: Record<string, string>;
  state: 'pending' | 'firing';
  activeAt: string;
}

/** A Prometheus with the alerts of the documentation, which keeps nothing. */
export class PrometheusServer {
  private constructor(
    private readonly child: ChildProcess,
    private readonly url: string,
    private readonly folder: string,
  ) {}

  /**
   * @param target host and port of the metrics
   * @param everySeconds between two scrapes, and between two looks at the alerts
   */
  static async start(
    program: string,
    target: string,
    everySeconds: number,
  ): Promise<PrometheusServer> {
    const folder = await mkdtemp(join(tmpdir(), 'room-keys-prometheus-'));
    const configuration = {
      global: { scrape_interval: `${everySeconds}s`, evaluation_interval: `${everySeconds}s` },
      rule_files: [monitoringFile('alerts.yml')],
      scrape_configs: [{ job_name: 'room-keys', static_configs: [{ targets: [target] }] }],
    };
    const file = join(folder, 'prometheus.yml');
    // JSON is YAML
    await writeFile(file, JSON.stringify(configuration));
    const at = `127.0.0.1:${await freePort()}`;
    const child = spawn(
      program,
      [
        `--config.file=${file}`,
        `--storage.tsdb.path=${join(folder, 'data')}`,
        `--web.listen-address=${at}`,
        '--log.level=warn',
      ],
      { stdio: ['ignore', 'ignore', 'inherit'] },
    );
    const server = new PrometheusServer(child, `http://${at}`, folder);
    const until = performance.now() + START_LIMIT_MS;
    while (!(await server.isReady())) {
      if (child.exitCode !== null || performance.now() > until) {
        await server.stop();
        throw new Error('Prometheus did not start');
      }
      await sleep(50);
    }
    return server;
  }

  /** What a query returns now. @throws for one that it does not understand */
  async query(
    query: string,
  ): Promise<{ metric: Record<string, string>; value: [number, string] }[]> {
    const { result } = await this.call<{ result: never[] }>('query', { query });
    return result;
  }

  async alerts(): Promise<ActiveAlert[]> {
    return (await this.call<{ alerts: ActiveAlert[] }>('alerts')).alerts;
  }

  async stop(): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) {
      const gone = once(this.child, 'exit');
      this.child.kill('SIGTERM');
      await gone;
    }
    await rm(this.folder, { recursive: true, force: true });
  }

  private async call<T>(what: string, parameters: Record<string, string> = {}): Promise<T> {
    const query = new URLSearchParams(parameters).toString();
    const response = await fetch(`${this.url}/api/v1/${what}?${query}`);
    const answer = (await response.json()) as { status: string; error?: string; data: T };
    if (answer.status !== 'success') throw new Error(`${answer.error}: ${parameters.query}`);
    return answer.data;
  }

  private async isReady(): Promise<boolean> {
    try {
      return (await fetch(`${this.url}/-/ready`)).ok;
    } catch {
      return false;
    }
  }
}
