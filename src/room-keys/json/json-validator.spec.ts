/**
 * Proves that the validator takes exactly what JSON.parse takes, valid texts and spoilt ones, and that it counts levels and
 * values as a reader of single characters does.
 */
import fc from 'fast-check';
import { findJsonFault } from './json-validator.js';

const ENOUGH = { maxDepth: 1000 };

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** What the text is, by the rules of the validator, read one character at a time. */
function measured(text: string): { depth: number; values: number } {
  let [level, depth, values] = [0, 0, 1];
  let inString = false;
  let escaped = false;
  for (const character of text) {
    if (escaped) escaped = false;
    else if (inString && character === '\\') escaped = true;
    else if (character === '"') inString = !inString;
    else if (inString) continue;
    else if ('{['.includes(character)) {
      depth = Math.max(depth, ++level);
      values++;
    } else if ('}]'.includes(character)) level--;
    else if (character === ',') values++;
  }
  return { depth, values };
}

const space = fc.string({ unit: fc.constantFrom(' ', '\t', '\n', '\r'), maxLength: 2 });
const content = fc.oneof(
  fc.string({ unit: fc.constantFrom('"', '\\', '{', '[', ',', ':', 'a', '/', '\t', '\u007f') }),
  fc.string({ unit: 'binary', maxLength: 6 }),
  fc.array(fc.nat(0xffff), { maxLength: 4 }).map((units) => String.fromCharCode(...units)),
);
const string = fc.tuple(content, fc.boolean()).map(([value, escaped]) => {
  const text = JSON.stringify(value);
  if (!escaped) return text;
  const units = value.split('').map((unit) => unit.charCodeAt(0).toString(16).padStart(4, '0'));
  return `"${units.map((hex, n) => `\\u${n % 2 ? hex.toUpperCase() : hex}`).join('')}"`;
});
const scalar = fc.oneof(
  string,
  fc.double({ noNaN: true, noDefaultInfinity: true }).map(String),
  fc.integer().map(String),
  fc.constantFrom('true', 'false', 'null', '-0', '0', '1e999', '1E+2', '0.10', '2e-7'),
);
const { json } = fc.letrec<{ json: string }>((tie) => {
  const spaced = fc.tuple(space, tie('json'), space).map((parts) => parts.join(''));
  const member = fc.tuple(space, string, space, spaced).map(([a, name, b, value]) => {
    return `${a}${name}${b}:${value}`;
  });
  const inside = (item: fc.Arbitrary<string>) =>
    fc.tuple(space, fc.array(item, { maxLength: 4 })).map(([empty, all]) => all.join() || empty);
  return {
    json: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      scalar,
      inside(spaced).map((items) => `[${items}]`),
      inside(member).map((members) => `{${members}}`),
    ),
  };
});
const valid = fc.tuple(space, json, space).map((parts) => parts.join(''));

/** What JSON is made of, and what looks like it. */
const PIECES = [
  ...['', '{', '}', '[', ']', ',', ':', '"', '\\', '\\u', '\\u00', '\\x', "'", '/', '//'],
  ...['-', '+', '.', 'e', 'E', '0', '1', '00', '01', 'true', 'nul', 'NaN', 'Infinity', 'undefined'],
  ...[' ', '\n', '\t', '\f', '\v', '\0', '\u00a0', '\ufeff', '\u2028', 'é', '\ud800', 'g'],
];
const spoilt = fc
  .tuple(
    valid,
    fc.array(fc.tuple(fc.nat(), fc.nat(2), fc.constantFrom(...PIECES)), { maxLength: 3 }),
    fc.option(fc.nat()),
  )
  .map(([text, edits, cut]) => {
    const edited = edits.reduce((before, [place, removed, inserted]) => {
      const at = place % (before.length + 1);
      return before.slice(0, at) + inserted + before.slice(at + removed);
    }, text);
    return cut === null ? edited : edited.slice(0, cut % (edited.length + 1));
  });
const scramble = fc.string({ unit: fc.constantFrom(...PIECES), maxLength: 12 });

describe('the validator', () => {
  it('takes JSON, whatever is in it and however it is written', () => {
    fc.assert(
      fc.property(valid, (text) => {
        expect(isJson(text)).toBe(true);
        expect(findJsonFault(text, ENOUGH)).toBeUndefined();
      }),
      { numRuns: 1000 },
    );
  });

  it('takes of spoilt texts those that JSON.parse takes', () => {
    fc.assert(
      fc.property(fc.oneof({ arbitrary: spoilt, weight: 3 }, scramble), (text) => {
        expect(findJsonFault(text, ENOUGH)).toBe(isJson(text) ? undefined : 'not JSON');
      }),
      { numRuns: 10_000 },
    );
  });

  it('takes of all short texts those that JSON.parse takes', () => {
    const unit = ['{', '}', '[', ']', ',', ':', '"', '\\', '-', '.', 'e', '0', '1', ' ', 'n'];
    let texts = [''];
    for (let length = 1; length <= 4; length++) {
      texts = texts.flatMap((text) => unit.map((last) => text + last));
      const differing = texts.filter(
        (text) => (findJsonFault(text, ENOUGH) === undefined) !== isJson(text),
      );
      expect(differing).toEqual([]);
    }
  });

  it('refuses every beginning of a text', () => {
    const whole = String.raw`{"a\"\u00e9":[{"\\":"\\\"{["},-1.5e+10,true,false,null],"b":[[{}]]}`;
    expect(findJsonFault(whole, ENOUGH)).toBeUndefined();
    for (let end = 0; end < whole.length; end++) {
      expect(findJsonFault(whole.slice(0, end), ENOUGH)).toBe('not JSON');
    }
  });

  it.each(Array.from({ length: 0x100 }, (_, code) => code))(
    'takes the character %d in a string, and after a backslash, as JSON.parse does',
    (code) => {
      const character = String.fromCharCode(code);
      for (const text of [`"${character}"`, `"\\${character}"`, `"\\u00a${character}"`]) {
        expect(findJsonFault(text, ENOUGH)).toBe(isJson(text) ? undefined : 'not JSON');
      }
    },
  );
});

describe('the limits', () => {
  it('are those of the levels and values that are there', () => {
    fc.assert(
      fc.property(valid, (text) => {
        const { depth: maxDepth, values: maxValues } = measured(text);
        expect(findJsonFault(text, { maxDepth, maxValues })).toBeUndefined();
        if (maxDepth > 0) {
          expect(findJsonFault(text, { maxDepth: maxDepth - 1 })).toBe('too deep');
        }
        expect(findJsonFault(text, { maxDepth, maxValues: maxValues - 1 })).toBe(
          maxValues > 1 ? 'too many values' : undefined,
        );
      }),
      { numRuns: 1000 },
    );
  });

  it('do not count what is inside strings', () => {
    const text = String.raw`["{{{[[[,,,", "\"{{{,", "\\"]`;
    expect(findJsonFault(text, { maxDepth: 1, maxValues: 4 })).toBeUndefined();
  });

  it.each([
    ['levels side by side', `[${Array(1000).fill('{}').join()}]`, 2, undefined],
    ['a million levels', '['.repeat(1e6), 1000, 'too deep'],
    ['levels that are never closed', '{"a":'.repeat(1001), 1000, 'too deep'],
    ['a string that is never closed', `["${'['.repeat(1e6)}`, 1, 'not JSON'],
    ['a million backslashes', `["${'\\'.repeat(1e6)}"]`, 1, undefined],
    ['a million quotes', `["${'\\"'.repeat(1e6)}"]`, 1, undefined],
    ['a scalar where no level is allowed', '1', 0, undefined],
    ['a level where none is allowed', '[]', 0, 'too deep'],
  ])('are right for %s', (_, text, maxDepth, fault) => {
    expect(findJsonFault(text, { maxDepth })).toBe(fault);
  });
});
