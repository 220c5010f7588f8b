/** Proves that the log of a database error contains neither keys nor ids of users. */
import { redactedError } from './storage.errors.js';

const ofMysql = (code: string, message: string) =>
  Object.assign(new Error(message), { code, sqlMessage: message });

describe('what is logged of an error', () => {
  it('is its stack, or its message on request', () => {
    const error = new Error("it's broken, 'really'");
    expect(redactedError(error)).toBe(error.stack);
    expect(redactedError(error, 'message')).toBe("it's broken, 'really'");
  });

  it('is its message where it has no stack', () => {
    const error = new Error('broken');
    delete error.stack;
    expect(redactedError(error)).toBe('broken');
  });

  it.each([undefined, null, 'a secret', { secret: 1 }])('is nothing of %p', (thrown) => {
    expect(redactedError(thrown)).toBe('something other than an Error was thrown');
  });

  it.each([
    ['ER_NO_SUCH_TABLE', "Table 'backups.room_keys_rooms' doesn't exist"],
    ['ER_BAD_FIELD_ERROR', "Unknown column 'id_hash' in 'field list'"],
    ['ER_DATA_TOO_LONG', "Data too long for column 'session_data' at row 1"],
  ])('keeps the names of tables and columns of %s', (code, message) => {
    expect(redactedError(ofMysql(code, message), 'message')).toBe(message);
  });

  it.each([
    ['ER_DUP_ENTRY', "Duplicate entry '5-!room:hs1' for key 'room_keys_rooms.PRIMARY'"],
    ['ER_DUP_ENTRY', "Duplicate entry '5-!it's!room:hs1' for key 'room_id'"],
    [
      'ER_PARSE_ERROR',
      "You have an error in your SQL syntax near '\"x!room:hs1\"\n' WHERE ' at line 1",
    ],
    ['ER_TRUNCATED_WRONG_VALUE_FOR_FIELD', "Incorrect string value: '!room:hs1' for column 'x'"],
  ])('has no value of %s in it', (code, message) => {
    const error = ofMysql(code, message);
    expect(redactedError(error, 'message')).not.toContain('room:hs1');
    expect(redactedError(error)).not.toContain('room:hs1');
    expect(redactedError(error)).toContain('\n    at ');
  });
});
