export interface ServerKind {
  id: 'mariadb' | 'mysql';
  name: 'MariaDB' | 'MySQL';
  variable: string;
  install: (program: string, folder: string) => string[];
}
export const kinds: readonly ServerKind[];
export function findProgram(kind: ServerKind): string | undefined;
export function prepareFolder(folder: string): void;
export function serverCommand(
  kind: ServerKind,
  program: string,
  folder: string,
  port: number,
): [string, ...string[]];
export function kindOf(url: string): Promise<ServerKind['id']>;
export function freePort(): Promise<number>;
