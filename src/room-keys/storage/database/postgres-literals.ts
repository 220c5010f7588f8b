import type { ValueSyntax } from './sql-values.js';

/**
 * Literals that mean the same whatever `standard_conforming_strings`, `backslash_quote` and `bytea_output` of a
 * session are: one with a backslash is an escape string, and none has a quote or a byte beyond ASCII, so that none
 * depends on `client_encoding`.
 */
export const postgresSyntax: ValueSyntax = {
  placeholders: false,
  hex: (digits) => `E'\\\\x${digits}'::bytea`,
  ascii: (text) => {
    const isPlain =
      !text.includes("'") && !text.includes('\\') && Buffer.byteLength(text) === text.length;
    // to double each of millions of quotes takes twenty times the memory of the text
    return isPlain
      ? `'${text}'`
      : `convert_from(E'\\\\x${Buffer.from(text).toString('hex')}'::bytea, 'UTF8')`;
  },
  // without a backslash the input of bytea is the text itself
  plainBytes: (text) => `'${text}'::bytea`,
};

/** The bytes of a value of type bytea, in either form of `bytea_output`. */
export function parseBytea(text: string): Buffer {
  if (text.startsWith('\\x')) return Buffer.from(text.slice(2), 'hex');
  const plain = text.replace(/\\(\\|[0-7]{3})/g, (_all, escaped: string) =>
    escaped === '\\' ? '\\' : String.fromCharCode(parseInt(escaped, 8)),
  );
  return Buffer.from(plain, 'latin1');
}
