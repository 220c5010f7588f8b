import type { Input } from './fuzz.inputs.js';

const BACKUP = '{"algorithm":"m.megolm_backup.v1.curve25519-aes-sha2","auth_data":{}}';

/** Inputs that an implementation once got wrong, as the test printed them, the latest at the end. */
export const regressions: { what: string; inputs: Input[] }[] = [
  {
    what: 'a request that was carried out got the answer to the bytes that followed it',
    inputs: [
      {
        method: 'PUT',
        target: '/_matrix/client/v3/room_keys/version/2',
        http: 'HTTP/1.1',
        headers: [['Authorization', 'Bearer @token']],
        framing: { lines: [`Content-Length: ${BACKUP.length}`], bytes: `${BACKUP}and more` },
        edits: [],
        pieces: 1,
        times: 1,
      },
    ],
  },
];
