import type { Addresses } from './application.js';
import type { Environment, Variables } from './environment.js';
import { writesJson } from './logs/log-format.js';
import { remarksOn } from './settings-text.js';
import { welcome, welcomeFields } from './welcome.js';

/** A log, as far as the start of the server is written to it. */
export interface StartLog {
  log(message: string, ...fieldsAndContext: unknown[]): void;
  warn(message: string, context: string): void;
  fatal(message: string, stack: undefined, context: string): void;
}

const NOBODY_ASKED =
  'No service is configured that verifies access tokens, so only the generated token is accepted. Set HOMESERVER_URL, unless this is a trial.';

/** What is said about the start of the server: for a person as it is, else as lines of the log. */
export class StartReport {
  private readonly json: boolean;

  constructor(private readonly variables: Variables) {
    this.json = writesJson(variables.LOG_FORMAT);
  }

  /** Tells of variables that look like settings and are none, and of settings that do nothing. */
  remarks(log: StartLog): void {
    for (const remark of remarksOn(this.variables)) {
      if (this.json) log.warn(remark, 'Settings');
      else process.stderr.write(`${remark}\n`);
    }
  }

  serving(log: StartLog, environment: Environment, addresses: Addresses): void {
    if (this.json) {
      log.log('Serving', welcomeFields(environment, addresses), 'Server');
      if (environment.developmentTokenMadeUp) log.warn(NOBODY_ASKED, 'Server');
    } else process.stdout.write(welcome(environment, addresses));
  }

  /** @param log makes one, which is needed only now: settings that are wrong may have kept it from being made */
  failed(log: () => StartLog, failure: string): void {
    if (this.json) log().fatal(failure, undefined, 'Server');
    else process.stderr.write(`${failure}\n`);
  }
}
