import type { IncomingMessage } from 'node:http';

/** The device's name is stable since Matrix 1.17; before that it had the prefix of its proposal. */
const PARAMETERS = ['user_id', 'device_id', 'org.matrix.msc3202.device_id'] as const;

/**
 * What an application service adds to the query to act as one of its users, under Matrix's names.
 * Of a parameter given twice the first counts, as at homeservers.
 */
export function masqueradeOf({ url = '' }: IncomingMessage): URLSearchParams {
  const mark = url.indexOf('?');
  const query = new URLSearchParams(mark === -1 ? '' : url.slice(mark));
  const masquerade = new URLSearchParams();
  for (const name of PARAMETERS) {
    const value = query.get(name);
    if (value !== null) masquerade.set(name, value);
  }
  return masquerade;
}

/** The device that it acts as. */
export function masqueradeDevice(masquerade: URLSearchParams): string | undefined {
  return masquerade.get('device_id') ?? masquerade.get('org.matrix.msc3202.device_id') ?? undefined;
}
