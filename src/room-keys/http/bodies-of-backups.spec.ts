/**
 * Proves what the bodies of the operations on backups become, and that every wrong one is a 400
 * that names the field.
 */
import fc from 'fast-check';
import { MatrixError } from '../room-keys.errors.js';
import { createBackupBody, updateBackupBody } from './bodies.js';
import type { JsonBody } from './room-keys.request.js';

const body = (text: string): JsonBody => ({ text });

/** The error that the call ends with. */
function refusal(read: () => unknown): { status: number; errcode: string; error: string } {
  try {
    read();
  } catch (error) {
    if (!(error instanceof MatrixError)) throw error;
    const { errcode, error: text } = error.body;
    return { status: error.getStatus(), errcode, error: text };
  }
  throw new Error('The body was accepted.');
}

const refused = (errcode: string, naming: string) => ({
  status: 400,
  errcode,
  error: expect.stringContaining(naming) as string,
});

const objectText = (members: [name: string, text: string][]) =>
  `{${members.map(([name, text]) => `${JSON.stringify(name)}:${text}`).join()}}`;

/** The text of a body, whose fields are given as JSON text. */
const bodyText = (fields: Record<string, string> = {}, without?: string) =>
  objectText(
    Object.entries({ algorithm: '"m.test"', auth_data: '{"k":1}', ...fields }).filter(
      ([name]) => name !== without,
    ),
  );

const reads = [
  { operation: 'POST version', read: (text: string) => createBackupBody(body(text)) },
  { operation: 'PUT version/{version}', read: (text: string) => updateBackupBody(body(text), '7') },
];

const algorithm = fc
  .string({ unit: 'binary', minLength: 1, maxLength: 63 })
  .filter((text) => Buffer.byteLength(text) <= 255);

const authData = fc.oneof(
  fc
    .dictionary(fc.string(), fc.jsonValue(), { maxKeys: 3 })
    .map((value) => JSON.stringify(value).replaceAll(/[^\0-\x7f]/g, '?')),
  fc.constantFrom('{}', '{ }', '{"n":1e999}', '{"a":1,"a":2}', '{"__proto__":{"constructor":[]}}'),
);

const unknownMembers = fc.uniqueArray(
  fc.tuple(
    fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.constantFrom('__proto__', 'constructor', 'count', 'etag', 'Version', 'authData'),
    ),
    fc.jsonValue().map((value) => JSON.stringify(value)),
  ),
  { selector: ([name]) => name, maxLength: 4 },
);

/** A body with these members and unknown ones, in any order. */
const bodyWith = (members: [string, string][]) =>
  unknownMembers
    .map((all) => all.filter(([name]) => !['algorithm', 'auth_data', 'version'].includes(name)))
    .chain((unknown) =>
      fc
        .shuffledSubarray([...members, ...unknown], { minLength: members.length + unknown.length })
        .map(objectText),
    );

describe.each(reads)('the body of $operation', ({ read }) => {
  it('becomes algorithm and auth_data, with unknown fields left out', () => {
    const valid = fc.tuple(algorithm, authData).chain(([name, data]) =>
      bodyWith([
        ['algorithm', JSON.stringify(name)],
        ['auth_data', data],
      ]).map((text) => ({ text, information: { algorithm: name, authData: data } })),
    );
    fc.assert(
      fc.property(valid, ({ text, information }) => {
        expect(read(text)).toEqual(information);
      }),
    );
  });

  it('keeps auth_data as it was written, but for characters beyond ASCII', () => {
    const data = '{ "é":"🔑", "n" : 1e999, "n":12345678901234567890, "z":-0 }';
    expect(read(bodyText({ auth_data: data })).authData).toBe(
      String.raw`{ "\u00e9":"\ud83d\udd11", "n" : 1e999, "n":12345678901234567890, "z":-0 }`,
    );
  });

  it.each(['null', '[]', '[{}]', '"x"', '1', 'true'])('is refused when it is %s', (text) => {
    expect(refusal(() => read(text))).toEqual(refused('M_BAD_JSON', 'The body must be an object'));
  });

  it.each(['1', 'true', 'null', '[]', '["m.test"]', '{}', '1e999'])(
    'is refused with the algorithm %s',
    (text) => {
      expect(refusal(() => read(bodyText({ algorithm: text })))).toEqual(
        refused('M_BAD_JSON', 'algorithm must be a string'),
      );
    },
  );

  it.each(['"{}"', '1', 'true', 'null', '[]', '[{}]'])(
    'is refused with the auth_data %s',
    (text) => {
      expect(refusal(() => read(bodyText({ auth_data: text })))).toEqual(
        refused('M_BAD_JSON', 'auth_data must be an object'),
      );
    },
  );

  it.each(['algorithm', 'auth_data'])('is refused without %s', (field) => {
    expect(refusal(() => read(bodyText({}, field)))).toEqual(
      refused('M_BAD_JSON', `${field} must be`),
    );
  });

  it.each([
    ['algorithm', '{"algorithm":"m.test","auth_data":{},"algorithm":"m.test"}'],
    ['auth_data', '{"algorithm":"m.test","auth_data":{},"auth_data":{}}'],
    ['auth_data in another spelling', '{"algorithm":"a","auth_data":{},"auth\\u005fdata":{}}'],
    ['an unknown field', '{"algorithm":"m.test","auth_data":{},"x":1,"x":1}'],
  ])('is refused with %s twice', (_, text) => {
    expect(refusal(() => read(text))).toEqual(refused('M_BAD_JSON', 'same name twice'));
  });

  it.each(['a'.repeat(255), 'é'.repeat(127)])('takes an algorithm of up to 255 bytes', (name) => {
    expect(read(bodyText({ algorithm: JSON.stringify(name) })).algorithm).toBe(name);
  });

  it.each(['a'.repeat(256), 'é'.repeat(128), '\ud800', 'a\udc00'])(
    'is refused with an algorithm of more than 255 bytes, or one that has no UTF-8',
    (name) => {
      expect(refusal(() => read(bodyText({ algorithm: JSON.stringify(name) })))).toEqual(
        refused('M_INVALID_PARAM', 'algorithm'),
      );
    },
  );

  it('is never quoted in an error', () => {
    for (const fields of [{ auth_data: '"hush"' }, { algorithm: '["hush"]' }]) {
      expect(refusal(() => read(bodyText(fields))).error).not.toContain('hush');
    }
  });
});

describe('the version in the body of PUT version/{version}', () => {
  const read = (version: string) => updateBackupBody(body(bodyText({ version })), '7');

  it('may be the one in the path', () => {
    expect(read('"7"')).toEqual({ algorithm: 'm.test', authData: '{"k":1}' });
  });

  it.each(['"8"', '"07"', '" 7"', '"7.0"', '""'])('is refused when it is %s', (version) => {
    expect(refusal(() => read(version))).toEqual(refused('M_INVALID_PARAM', 'Version'));
  });

  it.each(['7', 'true', 'null', '["7"]', '{}'])(
    'is refused when it is no string but %s',
    (version) => {
      expect(refusal(() => read(version))).toEqual(
        refused('M_BAD_JSON', 'version must be a string'),
      );
    },
  );

  it('is refused when it is given twice', () => {
    const text = '{"algorithm":"m.test","auth_data":{},"version":"7","version":"7"}';
    expect(refusal(() => updateBackupBody(body(text), '7'))).toEqual(
      refused('M_BAD_JSON', 'same name twice'),
    );
  });
});

describe('the version in the body of POST version', () => {
  it.each(['"8"', '7', 'null'])('is an unknown field like any other: %s', (version) => {
    expect(createBackupBody(body(bodyText({ version })))).toEqual({
      algorithm: 'm.test',
      authData: '{"k":1}',
    });
  });
});
