import type { Client } from 'pg';

/** A connection to the database of a URL, or to one that every PostgreSQL has, for `work`. */
export function withPostgres<T>(url: string, work: (client: Client) => Promise<T>): Promise<T>;
