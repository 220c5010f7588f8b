import { Logger } from '@nestjs/common';
import { createApplication, listen } from './application.js';
import { withLastingToken } from './development-token.js';
import { type Environment, readEnvironment, type Variables } from './environment.js';
import { logFaults, ServerLogger } from './logs/server-logger.js';
import { startFailure } from './start-failure.js';
import { StartupBanner } from './startup-banner.js';

/**
 * Starts the standalone server in this process, and says where it serves; where it cannot, says why
 * and ends the process with exit code 1.
 *
 * @param onReady called when the application stops by itself on SIGTERM and SIGINT from there on
 */
export async function start(variables: Variables, onReady: () => void): Promise<void> {
  const report = new StartupBanner(variables);
  try {
    const environment = withLastingToken(readEnvironment(variables));
    const logger = useLogger(environment);
    report.remarks(logger);
    const app = await createApplication(environment);
    onReady();
    report.serving(logger, environment, await listen(app, environment));
  } catch (error) {
    const log = () => new ServerLogger({ logFormat: 'json', logLevel: 'fatal', workers: 1 });
    report.failed(log, startFailure(error, variables));
    process.exit(1);
  }
}

/** Makes everything in this process use the server's log. */
export function useLogger(environment: Environment): ServerLogger {
  const logger = new ServerLogger(environment);
  // Nest uses it from its start on; some are not Nest's, and say something before
  Logger.overrideLogger(logger);
  logFaults(logger);
  return logger;
}
