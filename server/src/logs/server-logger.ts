import { AsyncLocalStorage } from 'node:async_hooks';
import { isatty } from 'node:tty';
import { styleText } from 'node:util';
import type { LoggerService } from '@nestjs/common';
import type { Environment } from '../environment.js';

type Level = Environment['logLevel'];

/** The gravest first, with their colors on a terminal. */
const COLORS = {
  fatal: 'bold',
  error: 'red',
  warn: 'yellow',
  info: 'green',
  debug: 'magentaBright',
} as const satisfies Record<Level, Parameters<typeof styleText>[0]>;
const LEVELS = Object.keys(COLORS);

/** Loggers of Nest's own start, whose lines are about the code, not about what an operator runs. */
const FRAMEWORK: readonly unknown[] = [
  'InstanceLoader',
  'NestApplication',
  'NestFactory',
  'RouterExplorer',
  'RoutesResolver',
];

const STDOUT = 1;

/** The id of the request that something is done for. */
export const requestIds = new AsyncLocalStorage<string>();

/** Whether the log is JSON: as the setting says, and without one, where no person reads it. */
export function writesJson(logFormat: string | undefined): boolean {
  return logFormat === 'json' || (logFormat !== 'text' && !isatty(STDOUT));
}

/**
 * The log of the server, for Nest and without it: the primary process of several workers does not load Nest. Of an
 * error it has no more than the stack, since those of the database driver carry the statement with its values.
 *
 * Its methods take what those of Nest do: the message, then fields or a stack, and the context last.
 */
export class ServerLogger implements LoggerService {
  private readonly isJson: boolean;
  private readonly isColored: boolean;
  private readonly mostLevels: number;
  /** In text, which of several processes a line is of; JSON has this in any case. */
  private readonly origin: { pid?: number };

  constructor({
    logFormat,
    logLevel,
    workers,
  }: Pick<Environment, 'logFormat' | 'logLevel' | 'workers'>) {
    this.isJson = writesJson(logFormat);
    this.isColored = isatty(STDOUT) && process.env.NO_COLOR === undefined;
    this.mostLevels = LEVELS.indexOf(logLevel);
    this.origin = workers > 1 ? { pid: process.pid } : {};
  }

  log(message: unknown, ...more: unknown[]): void {
    if (!FRAMEWORK.includes(more.at(-1))) this.write('info', message, more);
  }

  debug(message: unknown, ...more: unknown[]): void {
    this.write('debug', message, more);
  }

  warn(message: unknown, ...more: unknown[]): void {
    this.write('warn', message, more);
  }

  error(message: unknown, ...more: unknown[]): void {
    // a failed start, which is reported by the caller: this has the details
    this.write(more.at(-1) === 'ExceptionHandler' ? 'debug' : 'error', message, more);
  }

  fatal(message: unknown, ...more: unknown[]): void {
    this.write('fatal', message, more);
  }

  private write(level: Level, what: unknown, more: unknown[]): void {
    if (LEVELS.indexOf(level) > this.mostLevels) return;
    const timestamp = new Date().toISOString();
    const requestId = requestIds.getStore();
    const message = what instanceof Error ? (what.stack ?? what.message) : what;
    const context = more.at(-1);
    const [details] = more.slice(0, -1);
    const stack = typeof details === 'string' ? details : undefined;
    const fields = { ...(stack === undefined && (details as object | undefined)) };
    const source = context === undefined ? '' : this.colored('warn', `[${context as string}] `);
    const { pid } = process;
    const line = this.isJson
      ? JSON.stringify({ timestamp, level, requestId, pid, message, context, stack, ...fields })
      : `${timestamp} ${this.colored(level, level.toUpperCase().padEnd(5))} ${source}${this.colored(level, message as string)}${fieldsText({ requestId, ...this.origin, ...fields })}${stack === undefined ? '' : `\n${stack}`}`;
    process[level === 'fatal' || level === 'error' ? 'stderr' : 'stdout'].write(`${line}\n`);
  }

  private colored(level: Level, text: string): string {
    return this.isColored ? styleText(COLORS[level], text) : text;
  }
}

/** What stands behind the message in a line of text. */
function fieldsText(fields: Readonly<Record<string, unknown>>): string {
  return Object.entries(fields)
    .map(([key, value]) => (value === undefined ? '' : ` ${key}=${value as string}`))
    .join('');
}

/**
 * Logs what Node would print otherwise: warnings, and the error that ends the process.
 * Node prints all that an error carries, which for one of the database are the values of a statement.
 */
export function logFaults(logger: ServerLogger): void {
  process.removeAllListeners('warning').on('warning', (warning) => {
    logger.warn(warning.stack ?? warning.message, 'Node');
  });
  process.on('uncaughtException', (error) => {
    logger.fatal(error, 'Server');
    process.exit(1);
  });
}
