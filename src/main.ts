import { createApplication, listen } from './server/application.js';
import { withLastingToken } from './server/development-token.js';
import { readEnvironment } from './server/environment.js';
import { startFailure } from './server/start-failure.js';
import { welcome } from './server/welcome.js';

try {
  const environment = withLastingToken(readEnvironment(process.env));
  const app = await createApplication(environment);
  process.stdout.write(welcome(environment, await listen(app, environment)));
} catch (error) {
  process.stderr.write(`${startFailure(error, process.env)}\n`);
  process.exit(1);
}
