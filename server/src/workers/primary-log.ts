import type { Environment } from '../environment.js';
import { fieldsText, writesJson } from '../logs/log-format.js';
import type { StartLog } from '../startup-banner.js';

type Level = Environment['logLevel'];
type Fields = Readonly<Record<string, unknown>>;

/** The gravest first. */
const LEVELS: readonly Level[] = ['fatal', 'error', 'warn', 'info', 'debug'];

/** The log of the primary process, in the form of the workers' own: Nest's would be half of its memory. */
export class PrimaryLog implements StartLog {
  private readonly json: boolean;
  private readonly levels: readonly Level[];

  constructor({ logFormat, logLevel }: Pick<Environment, 'logFormat' | 'logLevel'>) {
    this.json = writesJson(logFormat);
    this.levels = LEVELS.slice(0, LEVELS.indexOf(logLevel) + 1);
  }

  log(message: string, fields: Fields, context: string): void {
    this.write('info', message, context, fields);
  }

  warn(message: string, context: string, fields: Fields = {}): void {
    this.write('warn', message, context, fields);
  }

  /** @param stack none: an error has its own */
  fatal(message: string | Error, ...stackAndContext: (string | undefined)[]): void {
    const text = message instanceof Error ? (message.stack ?? message.message) : message;
    this.write('fatal', text, stackAndContext.at(-1) ?? '', {});
  }

  private write(level: Level, message: string, context: string, fields: Fields): void {
    if (!this.levels.includes(level)) return;
    const timestamp = new Date().toISOString();
    const { pid } = process;
    const line = this.json
      ? JSON.stringify({ timestamp, level, pid, message, context, ...fields })
      : `${timestamp} ${level.toUpperCase().padEnd(5)} [${context}] ${message}${fieldsText({ pid, ...fields })}`;
    process[level === 'fatal' ? 'stderr' : 'stdout'].write(`${line}\n`);
  }
}
