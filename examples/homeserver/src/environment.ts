import { randomBytes } from 'node:crypto';

export interface Environment {
  /** `sqlite:FILE`, `mysql://user:password@host/database`, `mariadb://…` or `postgres://…`. */
  databaseUrl: string;
  /** What stands after the colon in user ids. */
  serverName: string;
  /** Opens the routes below `/admin`. */
  adminToken: string;
  port: number;
}

export function readEnvironment(variables: NodeJS.ProcessEnv): Environment {
  return {
    databaseUrl: variables.DATABASE_URL ?? 'sqlite:data/homeserver.db',
    serverName: variables.SERVER_NAME ?? 'localhost',
    adminToken: variables.ADMIN_TOKEN ?? randomBytes(24).toString('base64url'),
    port: Number(variables.PORT ?? 8008),
  };
}
