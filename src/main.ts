// Before anything is loaded: as process 1 of a container, it would not hear a signal without these.
const stop = () => process.exit(0);
process.once('SIGTERM', stop).once('SIGINT', stop);

const [
  { createApplication, listen },
  { withLastingToken },
  { readEnvironment },
  { startFailure },
  { welcome },
] = await Promise.all([
  import('./server/application.js'),
  import('./server/development-token.js'),
  import('./server/environment.js'),
  import('./server/start-failure.js'),
  import('./server/welcome.js'),
]);

try {
  const environment = withLastingToken(readEnvironment(process.env));
  const app = await createApplication(environment);
  // from here on Nest stops the application when it is told to
  process.off('SIGTERM', stop).off('SIGINT', stop);
  process.stdout.write(welcome(environment, await listen(app, environment)));
} catch (error) {
  process.stderr.write(`${startFailure(error, process.env)}\n`);
  process.exit(1);
}
