export interface ServerKind {
  id: 'mariadb' | 'mysql' | 'postgres';
  name: 'MariaDB' | 'MySQL' | 'PostgreSQL';
  variable: string;
  stopSignal: NodeJS.Signals;
  /** Lays the ground for `install` and `command`. */
  prepareFolder: (folder: string) => void;
  install: (program: string, folder: string) => string[];
  /** What starts a server of one's own in a folder, with everything else as it comes. */
  command: (program: string, folder: string, port: number) => [string, ...string[]];
  url: (port: number) => string;
  /** Fails where no server answers. */
  serverVersion: (url: string) => Promise<string>;
}
export const kinds: readonly ServerKind[];
export function findProgram(kind: ServerKind): string | undefined;
export function freePort(): Promise<number>;
