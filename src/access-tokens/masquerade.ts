import type { IncomingMessage } from 'node:http';

/** `device_id` is stable since Matrix 1.17; before, the parameter had the prefix of its proposal. */
const PARAMETERS = ['user_id', 'device_id', 'org.matrix.msc3202.device_id'] as const;

/**
 * The query parameters with which an application service acts as one of its users. If a parameter is
 * given twice, the first counts, as on homeservers.
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

/** The device that the application service acts as. */
export function masqueradeDevice(masquerade: URLSearchParams): string | undefined {
  return masquerade.get('device_id') ?? masquerade.get('org.matrix.msc3202.device_id') ?? undefined;
}
