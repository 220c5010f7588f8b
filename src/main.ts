import { createApplication } from './server/application.js';
import { readEnvironment, SettingError } from './server/environment.js';
import { welcome } from './server/welcome.js';

try {
  const environment = readEnvironment(process.env);
  const app = await createApplication(environment);
  await app.listen(environment.port, environment.host);
  const url = (await app.getUrl()).replace('[::1]', 'localhost');
  process.stdout.write(welcome(environment, url));
} catch (error) {
  // A setting is the operator's to mend, and one sentence says how; anything else shows where it happened.
  process.stderr.write(
    `${error instanceof SettingError ? error.message : String((error as Error).stack)}\n`,
  );
  process.exit(1);
}
