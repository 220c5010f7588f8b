// THE PROGRAM OF A WORKER. Before anything is loaded: the primary may stop it at any time.
const stop = () => process.exit(0);
process.once('SIGTERM', stop).once('SIGINT', stop);

const { startWorker } = await import('./start-worker.js');
await startWorker(process.env, () => {
  process.off('SIGTERM', stop).off('SIGINT', stop);
});
