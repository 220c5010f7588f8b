/** Proves that a database which goes away under a command is told in a sentence, as the drivers tell of it. */
import { QueryFailedError } from 'typeorm';
import { startFailure } from './start-failure.js';

describe('startFailure', () => {
  it.each(['PROTOCOL_CONNECTION_LOST', 'ECONNRESET'])(
    'says what to do when the connection breaks off (%s)',
    (code) => {
      const lost = Object.assign(new Error('Connection lost'), { code });
      for (const error of [lost, new QueryFailedError('SELECT 1', [], lost)]) {
        expect(startFailure(error, {})).toBe(
          'The database that DATABASE_URL names broke the connection off: see that it runs, and try again.',
        );
      }
    },
  );
});
