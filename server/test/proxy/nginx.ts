import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { adapted, type StartProxy } from './configuration.js';
import { startProxy } from './processes.js';

/** nginx as docs/proxies/nginx.conf has it, but for the addresses and TLS. */
export const startNginx: StartProxy = async (program, at) => {
  const folder = await mkdtemp(join(tmpdir(), 'room-keys-nginx-'));
  // if root starts it, its workers run as another user
  await chmod(folder, 0o711);
  await mkdir(join(folder, 'temp'));
  const snippet = await adapted('nginx.conf', [
    ['listen 443 ssl;', `listen ${at.proxy};`],
    ['ssl_certificate /', '# ssl_certificate /'],
    ['ssl_certificate_key /', '# ssl_certificate_key /'],
    ['server 127.0.0.1:8090;', `server ${at.roomKeys};`],
    ['server 127.0.0.1:8008;', `server ${at.homeserver};`],
  ]);
  await writeFile(join(folder, 'beside.conf'), snippet);
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (kind) => `${kind}_temp_path temp/${kind};`,
  );
  const main = `
    daemon off;
    worker_processes 1;
    pid nginx.pid;
    error_log stderr;
    events {}
    http { access_log off; ${temporary.join(' ')} include beside.conf; }
  `;
  await writeFile(join(folder, 'main.conf'), main);
  const parameters = ['-p', folder, '-e', 'stderr', '-c', join(folder, 'main.conf')];
  const nginx = await startProxy(program, parameters, at.proxy);
  return {
    url: nginx.url,
    stop: async () => {
      await nginx.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
};
