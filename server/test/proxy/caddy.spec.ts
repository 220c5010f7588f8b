/** Proves docs/proxies/Caddyfile with a real Caddy: a homeserver and the built server behind it. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describeBesideAHomeserver } from './beside-a-homeserver.js';
import { adapted } from './configuration.js';
import { startProxy } from './processes.js';

describeBesideAHomeserver('caddy', 'caddy', async (program, at) => {
  const folder = await mkdtemp(join(tmpdir(), 'room-keys-caddy-'));
  const site = await adapted('Caddyfile', [
    ['matrix.example.org {', `http://${at.proxy} {`],
    ['reverse_proxy 127.0.0.1:8090 {', `reverse_proxy ${at.roomKeys} {`],
    ['reverse_proxy 127.0.0.1:8008', `reverse_proxy ${at.homeserver}`],
  ]);
  const file = join(folder, 'Caddyfile');
  // no API to change its settings, which would want a port
  await writeFile(file, `{\n\tadmin off\n}\n${site}`);
  const caddy = await startProxy(
    program,
    ['run', '--adapter', 'caddyfile', '--config', file],
    at.proxy,
    { XDG_DATA_HOME: folder, XDG_CONFIG_HOME: folder },
  );
  return {
    url: caddy.url,
    stop: async () => {
      await caddy.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
});
