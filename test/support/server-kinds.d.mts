import type { Client } from 'pg';

/** A connection to the database of a URL, or to one that every PostgreSQL has, for `work`. */
export function withPostgres<T>(url: string, work: (client: Client) => Promise<T>): Promise<T>;

/** Lets a PostgreSQL that root starts own a file: it takes no key that others own. */
export function giveToServer(path: string): void;
