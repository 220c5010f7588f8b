import type { ValueSyntax } from './sql-values.js';

/**
 * No literal has a backslash, so that none depends on NO_BACKSLASH_ESCAPES in the `sql_mode` of a session, and
 * none has a byte beyond ASCII, so that none depends on its character set.
 */
export const mysqlSyntax: ValueSyntax = {
  placeholders: false,
  hex: (digits) => `X'${digits}'`,
  ascii: (text) => {
    const isPlain =
      !text.includes("'") && !text.includes('\\') && Buffer.byteLength(text) === text.length;
    // the introducer makes text of the bytes for any character set of the connection
    return isPlain ? `'${text}'` : `_utf8mb4 X'${Buffer.from(text).toString('hex')}'`;
  },
  // the introducer makes them bytes for any character set of the connection
  plainBytes: (text) => `_binary'${text}'`,
};
