/** A log, as far as faults are written to it. */
interface FaultLog {
  warn(message: string, context: string): void;
  fatal(error: Error, context: string): void;
}

/**
 * Logs what Node would print by itself: warnings, and the error that ends the process.
 * Node prints all that an error carries, which for one of the database are the values of a statement.
 */
export function logFaults(logger: FaultLog): void {
  process.removeAllListeners('warning').on('warning', (warning) => {
    logger.warn(warning.stack ?? warning.message, 'Node');
  });
  process.on('uncaughtException', (error) => {
    logger.fatal(error, 'Server');
    process.exit(1);
  });
}
