/** Proves in which order several verifiers are called, and when no further one is. */
import { jest } from '@jest/globals';
import { clientRequest } from '../../test/homeserver/fake-service.js';
import { unknownToken } from '../room-keys/room-keys.errors.js';
import type { AccessTokenVerifier } from '../room-keys/room-keys-options.interface.js';
import { firstOf } from './first-of.js';

const knows =
  (known: string): AccessTokenVerifier =>
  (token) =>
    token === known ? { userId: `@${known}:hs1` } : null;
const request = clientRequest('?user_id=@x:hs1');

describe('the first that knows a token', () => {
  it('says whose it is, and the rest is not asked', async () => {
    const last = jest.fn(knows('bob'));
    const verify = firstOf([knows('alice'), knows('bob'), last]);
    expect(await verify('alice', request)).toEqual({ userId: '@alice:hs1' });
    expect(await verify('bob', request)).toEqual({ userId: '@bob:hs1' });
    expect(last).not.toHaveBeenCalled();
    expect(await verify('carol', request)).toBeNull();
    expect(last).toHaveBeenCalledWith('carol', request);
  });

  it('may answer later, or refuse, or fail', async () => {
    const last = jest.fn(knows('alice'));
    const verify = firstOf([
      (token) => Promise.resolve(knows('bob')(token, request)),
      (token) => {
        if (token === 'ended') throw unknownToken(true);
        return token === 'down' ? Promise.reject(new Error('down')) : null;
      },
      last,
    ]);
    expect(await verify('bob', request)).toEqual({ userId: '@bob:hs1' });
    await expect(verify('ended', request)).rejects.toMatchObject({ status: 401 });
    await expect(verify('down', request)).rejects.toThrow('down');
    expect(last).not.toHaveBeenCalled();
  });

  it('is null without a verifier', async () => {
    expect(await firstOf([])('alice', request)).toBeNull();
  });
});
