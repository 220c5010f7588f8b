/**
 * JSON without a loss: JSON.parse rounds numbers, forgets a name that is given twice and treats
 * `__proto__` as a case of its own. What compares a server's answers must do none of it.
 */

/** A value as it was written. */
export type Json = null | boolean | string | Json[] | JsonNumber | JsonObject;

export class JsonNumber {
  constructor(readonly text: string) {}
}

export class JsonObject {
  constructor(readonly members: readonly (readonly [name: string, value: Json])[]) {}

  /** The value of a member, undefined where there is none. */
  get(name: string): Json | undefined {
    return this.members.find(([one]) => one === name)?.[1];
  }
}

const TOKEN =
  /[\t\n\r ]*(?:([{}[\],:])|("(?:[^"\\]|\\.)*")|(-?[0-9][0-9.eE+-]*)|(true|false|null))/y;

/** @throws SyntaxError for what JSON.parse does not take */
export function readJson(text: string): Json {
  JSON.parse(text);
  TOKEN.lastIndex = 0;
  const next = () => TOKEN.exec(text)!;
  const value = ([, mark, string, number, word]: RegExpExecArray): Json => {
    if (string !== undefined) return JSON.parse(string) as string;
    if (number !== undefined) return new JsonNumber(number);
    if (word !== undefined) return JSON.parse(word) as boolean | null;
    return mark === '[' ? array() : object();
  };
  const array = (): Json[] => {
    const values: Json[] = [];
    for (let token = next(); token[1] !== ']'; token = next()) {
      if (token[1] !== ',') values.push(value(token));
    }
    return values;
  };
  const object = (): JsonObject => {
    const members: [string, Json][] = [];
    for (let token = next(); token[1] !== '}'; token = next()) {
      if (token[1] === ',') continue;
      next(); // the colon
      members.push([JSON.parse(token[2]!) as string, value(next())]);
    }
    return new JsonObject(members);
  };
  return value(next());
}

/** The same text for two values exactly if they are the same but for the order of members. */
export function canonical(value: Json): string {
  if (value instanceof JsonNumber) return value.text;
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (!(value instanceof JsonObject)) return JSON.stringify(value);
  const members = value.members
    .map(([name, one]) => [JSON.stringify(name), canonical(one)] as const)
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  return `{${members.map((member) => member.join(':')).join(',')}}`;
}
