import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileOf } from './database-url.js';
import type { Environment } from './environment.js';

/** The file that keeps the token that was made up, where there is a data folder to put it in. */
export function developmentTokenFile({
  databaseUrl,
  developmentTokenMadeUp,
}: Environment): string | undefined {
  const database = fileOf(databaseUrl);
  return developmentTokenMadeUp && database !== undefined
    ? join(dirname(database), 'development-token')
    : undefined;
}

/** Gives a token that was made up a life beyond this start: the first one is kept beside the database. */
export function withLastingToken(environment: Environment): Environment {
  const file = developmentTokenFile(environment);
  const [first] = environment.developmentTokens;
  if (file === undefined || !first) return environment;
  const token = kept(file) ?? keep(file, first.token);
  return { ...environment, developmentTokens: [{ ...first, token }] };
}

function kept(file: string): string | undefined {
  try {
    return /^[\w-]{16,}$/.exec(readFileSync(file, 'utf8').trim())?.[0];
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function keep(file: string, token: string): string {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `${token}\n`, { mode: 0o600 });
  return token;
}
