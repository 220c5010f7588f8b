import { createApplication } from './application.js';
import { readEnvironment } from './environment.js';

const environment = readEnvironment(process.env);
const app = await createApplication(environment);
await app.listen(environment.port, '127.0.0.1');

const url = `http://127.0.0.1:${environment.port}`;
console.log(`Homeserver:  ${url}  (${environment.serverName})`);
console.log(`API:         ${url}/docs`);
console.log(`Admin token: ${environment.adminToken}`);
