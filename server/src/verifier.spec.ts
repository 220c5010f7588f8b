import { exempting } from './verifier.js';
/** Proves which users are freed of limits of requests, and that the verifier's answer is otherwise kept. */

const owner = { userId: '', deviceId: 'PHONE' };

const isExempt = async (patterns: string[], userId: string) => {
  const verify = exempting(patterns, () => ({ ...owner, userId }));
  return (await verify('token', undefined as never))?.isRateLimited === false;
};

it.each([
  ['@bridge:example.org', '@bridge:example.org'],
  ['@_irc_*:example.org', '@_irc_alice:example.org'],
  ['@_irc_*:example.org', '@_irc_:example.org'],
  ['@*:example.org', '@alice:example.org'],
  ['@*:*', '@alice:example.org'],
  ['@**a*:x.y', '@bab:x.y'],
  ['@a+b=c/d.e-f:x.y', '@a+b=c/d.e-f:x.y'],
])('%s frees %s', async (pattern, userId) => {
  expect(await isExempt([pattern], userId)).toBe(true);
  expect(await isExempt(['@other:x', pattern], userId)).toBe(true);
});

it.each([
  ['@bridge:example.org', '@bridge:example.org.evil.net'],
  ['@bridge:example.org', '@BRIDGE:example.org'],
  ['@bridge:example.org', 'x@bridge:example.org'],
  ['@_irc_*:example.org', '@_irc_alice:example.net'],
  ['@_irc_*:example.org', '@alice:example.org'],
  ['@a.b:x', '@aXb:x'],
  ['@a|@b:x', '@a'],
])('%s does not free %s', async (pattern, userId) => {
  expect(await isExempt([pattern], userId)).toBe(false);
});

it('what else the verifier says is kept', async () => {
  const request = undefined as never;
  const verify = exempting(['@a:b'], () => ({ ...owner, userId: '@a:b' }));
  expect(await verify('token', request)).toEqual({
    ...owner,
    userId: '@a:b',
    isRateLimited: false,
  });
  expect(await exempting(['@*:*'], () => null)('token', request)).toBeNull();
  expect(exempting([], verify)).toBe(verify);
  expect(exempting(undefined, verify)).toBe(verify);
});
