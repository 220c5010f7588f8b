/**
 * Proves that the cursor finds every name and every value's text in any JSON text, however it is
 * written: against generated texts whose parts are known.
 */
import fc from 'fast-check';
import { JsonCursor } from './json-text.js';

/** A piece of JSON text, and what the generator that wrote it knows about it. */
interface Written {
  text: string;
  /** The members of an object, in the order of the text, names that repeat included. */
  members?: [name: string, value: Written][];
}

const SHORT_ESCAPES: Record<string, string> = {
  '"': '\\"',
  '\\': '\\\\',
  '/': '\\/',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
};

/** One UTF-16 unit inside a JSON string, in one of the ways to write it. */
function writtenUnit(unit: string, way: number): string {
  const hex = unit.charCodeAt(0).toString(16).padStart(4, '0');
  const mustEscape = unit < ' ' || unit === '"' || unit === '\\';
  if (way === 0) return `\\u${hex}`;
  if (way === 1) return `\\u${hex.toUpperCase()}`;
  if (way === 2 || mustEscape) return SHORT_ESCAPES[unit] ?? (mustEscape ? `\\u${hex}` : unit);
  return unit;
}

const space = fc.string({ unit: fc.constantFrom(' ', '\t', '\n', '\r'), maxLength: 3 });

const content = fc.oneof(
  fc.string({ unit: fc.constantFrom('"', '\\', '{', '}', '[', ']', ',', ':', 'a', ' ', '/') }),
  fc.string({ unit: 'binary', maxLength: 8 }),
  // any UTF-16 units: control characters, halves of surrogate pairs
  fc.array(fc.nat(0xffff), { maxLength: 5 }).map((units) => String.fromCharCode(...units)),
  fc.constantFrom('', '__proto__', 'constructor', 'toString', '🔑', '\u2028', 'é', 'e\u0301', '0'),
);

const string = fc
  .tuple(content, fc.array(fc.nat(9), { minLength: 1, maxLength: 5 }))
  .map(([value, ways]) => ({
    value,
    text: `"${value
      .split('')
      .map((unit, index) => writtenUnit(unit, ways[index % ways.length]!))
      .join('')}"`,
  }));

const scalar = fc
  .oneof(
    string.map(({ text }) => text),
    fc.double({ noNaN: true, noDefaultInfinity: true }).map(String),
    fc.integer().map(String),
    fc.constantFrom('true', 'false', 'null', '-0', '1e999', '1E+2', '0.10', '12345678901234567890'),
  )
  .map((text): Written => ({ text }));

const { json } = fc.letrec<{ json: Written }>((tie) => {
  const spaced = fc.tuple(space, tie('json'), space);
  const array = fc
    .tuple(space, fc.array(spaced, { maxLength: 4 }))
    .map(([empty, items]): Written => ({
      text: `[${items.map(([a, { text }, b]) => a + text + b).join() || empty}]`,
    }));
  const member = fc.tuple(space, string, space, spaced);
  const object = fc
    .tuple(space, fc.array(member, { maxLength: 5 }))
    .map(([empty, members]): Written => {
      const texts = members.map(
        ([a, name, b, [c, { text }, d]]) => `${a}${name.text}${b}:${c}${text}${d}`,
      );
      return {
        text: `{${texts.join() || empty}}`,
        members: members.map(([, name, , [, value]]) => [name.value, value]),
      };
    });
  return { json: fc.oneof({ depthSize: 'small', withCrossShrink: true }, scalar, array, object) };
});

const object = json.filter(({ members }) => members !== undefined);
/** A text in whitespace, as a body can be. */
const padded = (written: fc.Arbitrary<Written>) =>
  fc
    .tuple(space, written, space)
    .map(([before, inner, after]) => ({ inner, text: before + inner.text + after }));

/** The names and value texts of the object that comes next. */
function membersOf(cursor: JsonCursor): [string, string][] {
  const members: [string, string][] = [];
  cursor.object((name) => members.push([name, cursor.value()]));
  return members;
}

describe('a JSON cursor', () => {
  it('yields the names of an object, and the text of each value as it stands', () => {
    fc.assert(
      fc.property(padded(object), ({ text, inner }) => {
        const members = membersOf(new JsonCursor(text));
        expect(members).toEqual(inner.members!.map(([name, value]) => [name, value.text]));
      }),
    );
  });

  it('yields texts that parse to what JSON.parse reads at that name', () => {
    fc.assert(
      fc.property(padded(object), ({ text }) => {
        // of two members with one name both keep the last
        const last = new Map(membersOf(new JsonCursor(text)));
        const parsed = new Map(Object.entries(JSON.parse(text) as object));
        expect([...last.keys()].sort()).toEqual([...parsed.keys()].sort());
        for (const [name, value] of last) {
          expect(JSON.parse(value)).toEqual(parsed.get(name));
        }
      }),
    );
  });

  it('steps into objects at any depth, and out again to the member that follows', () => {
    /** Steps into all objects, and reads all other values. */
    const walk = (cursor: JsonCursor): unknown => {
      if (!cursor.isObject) return cursor.value();
      const members: [string, unknown][] = [];
      cursor.object((name) => members.push([name, walk(cursor)]));
      return members;
    };
    const expected = ({ members, text }: Written): unknown =>
      members?.map(([name, value]) => [name, expected(value)]) ?? text;
    fc.assert(
      fc.property(padded(json), ({ text, inner }) => {
        expect(walk(new JsonCursor(text))).toEqual(expected(inner));
      }),
    );
  });

  it('skips unused values', () => {
    fc.assert(
      fc.property(padded(object), fc.infiniteStream(fc.boolean()), ({ text, inner }, choices) => {
        const chosen = inner.members!.map(([name, value]) => {
          const read = choices.next().value;
          return { name, read, text: read ? value.text : 'skipped' };
        });
        const seen: typeof chosen = [];
        const cursor = new JsonCursor(text);
        cursor.object((name) => {
          const read = chosen[seen.length]!.read;
          seen.push({ name, read, text: read ? cursor.value() : 'skipped' });
        });
        expect(seen).toEqual(chosen);
      }),
    );
  });

  it('tells objects from all other values', () => {
    fc.assert(
      fc.property(padded(json), ({ text, inner }) => {
        expect(new JsonCursor(text).isObject).toBe(inner.members !== undefined);
      }),
    );
  });

  it.each([
    ['{"__proto__":1,"constructor":2}', ['__proto__', 'constructor']],
    ['{"a":1,"a":2,"\\u0061":3}', ['a', 'a', 'a']],
    ['{"":0," ":1}', ['', ' ']],
    ['{"\\"":0,"\\\\":1,"\\\\\\"":2,"\\\\\\\\":3}', ['"', '\\', '\\"', '\\\\']],
    ['{"\\u00e9":0,"é":1,"\\ud83d\\udd11":2,"🔑":3}', ['é', 'é', '🔑', '🔑']],
    ['{"\\ud800":0}', ['\ud800']],
    ['{"}":"}","{":"{"}', ['}', '{']],
    ['{}', []],
    [' { } ', []],
  ])('reads the names of %s', (text, names) => {
    expect(membersOf(new JsonCursor(text)).map(([name]) => name)).toEqual(names);
  });

  it('leaves out the whitespace around a value and keeps that inside', () => {
    const text = '{ "a" :\t{ "b" : [ 1 ,\n2 ] } \r\n, "c" : -0 }';
    expect(membersOf(new JsonCursor(text))).toEqual([
      ['a', '{ "b" : [ 1 ,\n2 ] }'],
      ['c', '-0'],
    ]);
  });

  it('takes a value to be a string up to its closing quote only', () => {
    const text = String.raw`{"a":"\"},","b":"\\","c":"\\\"","d":"]"}`;
    expect(membersOf(new JsonCursor(text))).toEqual([
      ['a', String.raw`"\"},"`],
      ['b', String.raw`"\\"`],
      ['c', String.raw`"\\\""`],
      ['d', '"]"'],
    ]);
  });
});
