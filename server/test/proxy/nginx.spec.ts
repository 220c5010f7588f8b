/** Proves docs/proxies/nginx.conf with a real nginx: a homeserver and the built server behind it. */
import { describeBesideAHomeserver } from './beside-a-homeserver.js';
import { startNginx } from './nginx.js';

describeBesideAHomeserver('nginx', 'nginx-light', startNginx);
