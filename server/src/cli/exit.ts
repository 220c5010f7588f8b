/** What the exit code of a command says. */
export const EXIT = {
  done: 0,
  /** It failed, or what it looked for is there. */
  failed: 1,
  usage: 2,
  /** By SIGINT and SIGTERM, as shells count them. */
  interrupted: 130,
  terminated: 143,
} as const;

/** Ends a command with one sentence for its user. */
export class Failure extends Error {
  constructor(
    message: string,
    readonly exitCode: number = EXIT.failed,
  ) {
    super(message);
  }
}
