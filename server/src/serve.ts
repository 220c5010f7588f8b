import { readEnvironment, type Variables } from './environment.js';

/**
 * Starts the standalone server: in this process, or in as many as `WORKERS` says, with this one above
 * them.
 *
 * @param onReady called when the server stops by itself on SIGTERM and SIGINT from there on
 */
export async function serve(variables: Variables, onReady: () => void): Promise<void> {
  // neither is loaded before it is needed: the first loads all of Nest, the second does without
  if (workersOf(variables) === 1) {
    const { start } = await import('./start.js');
    await start(variables, onReady);
  } else {
    const { startWorkers } = await import('./workers/start-workers.js');
    await startWorkers(variables, onReady);
  }
}

function workersOf(variables: Variables): number {
  try {
    return readEnvironment(variables).workers;
  } catch {
    // what is wrong with the settings says the one who is to start with them
    return 1;
  }
}
