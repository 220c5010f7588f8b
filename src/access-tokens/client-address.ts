import type { IncomingMessage } from 'node:http';
import { BlockList, isIP } from 'node:net';

/** Loopback, private and link-local networks: a connection from one of them may be a reverse proxy's. */
const INTERNAL = new BlockList();
for (const [network, prefix] of [
  ['127.0.0.0', 8],
  ['10.0.0.0', 8],
  ['172.16.0.0', 12],
  ['192.168.0.0', 16],
  ['169.254.0.0', 16],
] as const)
  INTERNAL.addSubnet(network, prefix, 'ipv4');
INTERNAL.addAddress('::1', 'ipv6');
INTERNAL.addSubnet('fc00::', 7, 'ipv6');
INTERNAL.addSubnet('fe80::', 10, 'ipv6');

/**
 * The address of the client that sent a request; undefined if neither the connection nor a proxy provides one.
 *
 * This is the remote address of the socket. If that is a loopback or private address, it may be a
 * reverse proxy's, as a connection on a Unix socket is, and the last entry of `X-Forwarded-For` is returned, if there is one. The last
 * entry is the one that our own proxy appended: the address of its peer. All entries before it were
 * part of the request that the proxy received, where a client can write anything. A header on a
 * connection from a public address is ignored for the same reason.
 *
 * An IPv6 address is cut to its /64 network, which is what one subscriber usually has: otherwise each
 * could use any number of addresses.
 */
export function clientAddressOf({
  socket,
  headers,
}: Partial<Pick<IncomingMessage, 'socket' | 'headers'>>): string | undefined {
  const peer = parseAddress(socket?.remoteAddress);
  if (peer !== undefined && !isInternal(peer)) return networkOf(peer);
  // Node joins several headers of this name to one
  const forwardedFor = headers?.['x-forwarded-for']?.toString();
  const last = forwardedFor?.slice(forwardedFor.lastIndexOf(',') + 1);
  const address = parseAddress(last) ?? peer;
  return address && networkOf(address);
}

/** The plain IP address in a text that may have a port, brackets, a zone, or an IPv4 address in IPv6 form. */
function parseAddress(text = ''): string | undefined {
  const bare = text.trim();
  const withoutPort = isIP(bare) ? bare : bare.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1');
  const address = withoutPort.replace(/%.*$/, '').replace(/^::ffff:(?=[\d.]+$)/i, '');
  return isIP(address) ? address : undefined;
}

function isInternal(address: string): boolean {
  return INTERNAL.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4');
}

/** An IPv4 address as it is, the /64 network of an IPv6 address. */
function networkOf(address: string): string {
  if (isIP(address) !== 6) return address;
  // the URL parser writes an address in one form only
  const [head = '', tail] = new URL(`http://[${address}]`).hostname.slice(1, -1).split('::');
  const first = head === '' ? [] : head.split(':');
  const last = tail ? tail.split(':') : [];
  const omitted = tail === undefined ? 0 : 8 - first.length - last.length;
  const groups = [...first, ...Array<string>(omitted).fill('0'), ...last];
  return `${groups.slice(0, 4).join(':')}::/64`;
}
