import cluster from 'node:cluster';
import { isatty } from 'node:tty';
import { ConsoleLogger, type LogLevel } from '@nestjs/common';
import type { Environment } from '../environment.js';
import { fieldsText, STDOUT, writesJson } from './log-format.js';
import { currentRequestId } from './request-log.js';

/** The settings of the log. */
type LogSettings = Pick<Environment, 'logFormat' | 'logLevel'>;

/** Of several processes that write to one log, which it is; JSON has this in any case. */
const WORKER = cluster.isWorker ? { pid: process.pid } : {};

/** Loggers of Nest's own start, whose lines are about the code, not about what an operator runs. */
const FRAMEWORK = new Set([
  'InstanceLoader',
  'NestApplication',
  'NestFactory',
  'RouterExplorer',
  'RoutesResolver',
]);

/**
 * Nest's logger in this server's words: ISO times, `info` for Nest's `log`, the request's id in each
 * line that is written for it, and of an error no more than its stack, since those of the database
 * driver carry the statement with its values.
 */
export class ServerLogger extends ConsoleLogger {
  constructor({ logFormat, logLevel }: LogSettings) {
    const json = writesJson(logFormat);
    const colors = !json && isatty(STDOUT) && process.env.NO_COLOR === undefined;
    const level = logLevel === 'info' ? 'log' : logLevel;
    super({ json, colors, flattenParams: true, logLevels: [level] });
  }

  override log(message: unknown, ...parameters: unknown[]): void {
    if (FRAMEWORK.has(String(parameters.at(-1)))) this.verbose(message, ...parameters);
    else super.log(message, ...parameters);
  }

  override error(message: unknown, ...parameters: unknown[]): void {
    // a failed start, which is reported by the caller: this has the details
    if (parameters.at(-1) === 'ExceptionHandler') this.debug(message, 'ExceptionHandler');
    else super.error(message, ...parameters);
  }

  protected override getTimestamp(): string {
    return new Date().toISOString();
  }

  protected override resolveMessage(message: unknown): unknown {
    const resolved = super.resolveMessage(message);
    return resolved instanceof Error ? (resolved.stack ?? resolved.message) : resolved;
  }

  protected override stringifyJsonLogObject({
    level,
    timestamp,
    ...more
  }: Record<string, unknown>): string {
    return super.stringifyJsonLogObject({
      timestamp: new Date(timestamp as number).toISOString(),
      level: level === 'log' ? 'info' : level,
      requestId: currentRequestId(),
      ...more,
    });
  }

  protected override formatMessage(
    level: LogLevel,
    message: unknown,
    _pid: string,
    _level: string,
    context: string,
    _timestampDiff: string,
    parameters?: Record<string, unknown>,
  ): string {
    const name = this.colorize((level === 'log' ? 'info' : level).toUpperCase().padEnd(5), level);
    const fields = { requestId: currentRequestId(), ...WORKER, ...parameters };
    const text = this.stringifyMessage(message, level);
    return `${this.getTimestamp()} ${name} ${context}${text}${fieldsText(fields)}\n`;
  }
}
