/**
 * Proves that the ASCII form of a JSON text is ASCII and the same JSON value, and that a text that
 * is ASCII already comes out as it went in.
 */
import { validateSync } from 'class-validator';
import fc from 'fast-check';
import { IsJsonObject, RawJson } from './json-text.js';

const ASCII = /^[\0-\x7f]*$/;

const asciiOf = (text: string) => new RawJson(text).ascii;

/** JSON text with any characters, some of them escaped, and whitespace. */
const jsonText = fc
  .tuple(
    fc.jsonValue({ stringUnit: 'binary' }),
    fc.nat(2),
    // whether a character beyond ASCII is escaped in the text already
    fc.infiniteStream(fc.boolean()),
  )
  .map(([value, indent, escaped]) =>
    JSON.stringify(value, undefined, indent).replaceAll(/[^\0-\x7f]/g, (unit) =>
      escaped.next().value ? `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}` : unit,
    ),
  );

describe('the ASCII form of a JSON text', () => {
  it('is ASCII, and parses to the same value', () => {
    fc.assert(
      fc.property(jsonText, (text) => {
        const ascii = asciiOf(text);
        expect(ascii).toMatch(ASCII);
        expect(JSON.parse(ascii)).toEqual(JSON.parse(text));
      }),
    );
  });

  it('is the text itself where that is ASCII, character for character', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary-ascii' }), (text) => {
        expect(asciiOf(text)).toBe(text);
      }),
    );
  });

  it.each([
    ['an emoji', '"🔑"', String.raw`"\ud83d\udd11"`],
    ['a letter with an accent', '{"é":"ÿ"}', String.raw`{"\u00e9":"\u00ff"}`],
    ['a separator that JavaScript once took for a new line', '"\u2028"', String.raw`"\u2028"`],
    ['the first character beyond ASCII', '"\x80"', String.raw`"\u0080"`],
    ['the last character of 16 bits', '"\uffff"', String.raw`"\uffff"`],
    ['a letter after an escaped backslash', String.raw`"\\é"`, String.raw`"\\\u00e9"`],
  ])('escapes %s', (_, text, ascii) => {
    expect(asciiOf(text)).toBe(ascii);
    expect(JSON.parse(ascii)).toEqual(JSON.parse(text));
  });

  it.each([
    ['whitespace', '{ "a"\t:\r\n [ 1 , 2 ] }'],
    ['a number beyond all that JavaScript knows', '{"n":1e999}'],
    ['a whole number beyond 2^53', '{"n":12345678901234567890}'],
    ['minus zero', '{"n":-0}'],
    ['more digits than a double has', '{"n":0.1000000000000000055511151231257827}'],
    ['two members with one name', '{"a":1,"a":2}'],
    ['members whose names are numbers', '{"10":0,"9":0}'],
    ['__proto__', '{"__proto__":{"a":1}}'],
    ['escapes of half a character', String.raw`{"\ud800":"\udc00"}`],
    ['escapes that need not be', String.raw`{"\u0061":"\/"}`],
    ['escapes in upper case', String.raw`"\uD83D\uDD11"`],
    ['the last character of ASCII', '"\x7f"'],
  ])('leaves %s as it is', (_, text) => {
    expect(asciiOf(text)).toBe(text);
  });
});

describe('the rule that a property holds a JSON object', () => {
  class Holder {
    @IsJsonObject()
    opaque: unknown;

    constructor(opaque: unknown) {
      this.opaque = opaque;
    }
  }
  const faultsOf = (opaque: unknown) =>
    validateSync(new Holder(opaque)).map(({ constraints }) => constraints);

  it.each(['{}', '{"a":1}', '{ }'])('takes %s', (text) => {
    expect(faultsOf(new RawJson(text))).toEqual([]);
  });

  it.each(['[]', '"{}"', '1', 'null', 'true'])(
    'refuses the text %s, and names the property',
    (text) => {
      expect(faultsOf(new RawJson(text))).toEqual([{ isJsonObject: 'opaque must be an object' }]);
    },
  );

  it('refuses what is no JSON text, or is missing', () => {
    for (const value of [undefined, null, {}, '{}']) expect(faultsOf(value)).toHaveLength(1);
  });
});
