import { conflictCode, mysqlCode } from './errors.js';

describe('an error at COMMIT on a member of a MySQL group', () => {
  const atCommit = (message: string) => {
    const error = Object.assign(new Error(message), {
      code: 'ER_ERROR_DURING_COMMIT',
      errno: 1180,
    });
    return conflictCode({ code: mysqlCode(error) });
  };

  it.each([
    "Got error 149 - 'Lock deadlock; Retry transaction' during COMMIT",
    'Fehler 149 - "Lock deadlock; Retry transaction" beim COMMIT',
  ])('is a conflict where it has the number of a deadlock: %s', (message) => {
    expect(atCommit(message)).toBe('ER_LOCK_DEADLOCK');
  });

  it.each([
    "Got error 28 - 'No space left on device' during COMMIT",
    "Got error 1149 - 'Unknown' during COMMIT",
  ])('is none with any other number: %s', (message) => {
    expect(atCommit(message)).toBeUndefined();
  });
});
