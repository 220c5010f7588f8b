// Before anything is loaded: as process 1 of a container, it would ignore signals without these.
const stop = () => process.exit(0);
process.once('SIGTERM', stop).once('SIGINT', stop);

const { run } = await import('./run.js');
await run(process.argv.slice(2), process.env, () => {
  process.off('SIGTERM', stop).off('SIGINT', stop);
});
