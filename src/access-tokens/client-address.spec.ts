/** Proves which address stands for a client, and that no client can choose it. */
import type { IncomingMessage } from 'node:http';
import { clientAddressOf } from './client-address.js';

const addressOf = (remoteAddress: string | undefined, forwardedFor?: string) =>
  clientAddressOf({
    socket: { remoteAddress } as IncomingMessage['socket'],
    headers: forwardedFor === undefined ? {} : { 'x-forwarded-for': forwardedFor },
  });

describe('the address of a client', () => {
  it.each([
    ['203.0.113.7', undefined, '203.0.113.7'],
    ['::ffff:203.0.113.7', undefined, '203.0.113.7'],
    ['127.0.0.1', undefined, '127.0.0.1'],
    ['10.1.2.3', undefined, '10.1.2.3'],
    [undefined, undefined, undefined],
  ])('is that of the socket: %s with %s is %s', (peer, forwardedFor, expected) => {
    expect(addressOf(peer, forwardedFor)).toBe(expected);
  });

  it.each([
    '127.0.0.1',
    '127.8.8.8',
    '::1',
    '::ffff:127.0.0.1',
    '10.0.0.1',
    '172.16.0.1',
    '172.31.255.255',
    '192.168.1.1',
    '169.254.1.1',
    'fd00::1',
    'fe80::1%eth0',
    // on a Unix socket
    undefined,
  ])('is the one that the proxy at %s received the request from', (peer) => {
    expect(addressOf(peer, '203.0.113.7')).toBe('203.0.113.7');
  });

  it.each(['203.0.113.1', '172.32.0.1', '11.0.0.1', '2001:db8::1', '::ffff:8.8.8.8'])(
    'is not taken from a header that came from the public address %s',
    (peer) => {
      expect(addressOf(peer, '198.51.100.9')).toBe(addressOf(peer));
    },
  );

  it.each([
    ['made up, 198.51.100.9, 203.0.113.7', '203.0.113.7'],
    ['198.51.100.9,203.0.113.7', '203.0.113.7'],
    ['203.0.113.7:51234', '203.0.113.7'],
    ['::ffff:203.0.113.7', '203.0.113.7'],
    ['[2001:db8:1:2::9]:443', '2001:db8:1:2::/64'],
    ['198.51.100.9, 192.168.7.7', '192.168.7.7'],
  ])('is the last entry of X-Forwarded-For: of %j it is %s', (forwardedFor, expected) => {
    expect(addressOf('127.0.0.1', forwardedFor)).toBe(expected);
  });

  it.each(['', ' ', 'unknown', '_hidden', '203.0.113.7,', '203.0.113.7, 1.2.3', '[::1'])(
    'is that of the socket where the last entry is no address: %j',
    (forwardedFor) => {
      expect(addressOf('127.0.0.1', forwardedFor)).toBe('127.0.0.1');
    },
  );

  it.each([
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:0DB8:0001:0002::', '2001:db8:1:2::/64'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['2001:db8:0:0:ffff::', '2001:db8:0:0::/64'],
    ['64:ff9b::203.0.113.7', '64:ff9b:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
  ])('is a network where it is an IPv6 address: of %s it is %s', (peer, expected) => {
    expect(addressOf(peer)).toBe(expected);
  });

  it('is undefined for a request without a socket', () => {
    expect(clientAddressOf({})).toBeUndefined();
  });
});
