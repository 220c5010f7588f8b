/**
 * Divides the backups of many users among databases by a hash of their user id, and says which resource of a database
 * runs out first. Sizes and rates are drawn at random; what a key and an upload cost are figures of this package
 * (docs/performance.md), and what a database can do is an assumption: put in your own.
 *
 *   npx tsx bench/shards.ts                           the databases that ten million users need, and what bounds them
 *   npx tsx bench/shards.ts --users 1000000 --disk-tb 4 --commits 500 --memory-gb 64
 */
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    users: { type: 'string', default: '10000000' },
    /** Keys of a user, on average, and how unequal users are: the standard deviation of the logarithm. */
    keys: { type: 'string', default: '2000' },
    spread: { type: 'string', default: '2' },
    /** Of a user and day, on average; both grow with the size of a backup. */
    uploads: { type: 'string', default: '3' },
    'new-keys': { type: 'string', default: '10' },
    /** The busiest moment against the average. */
    peak: { type: 'string', default: '5' },
    /** What one database, which is a group of three servers, can do. */
    'disk-tb': { type: 'string', default: '2' },
    commits: { type: 'string', default: '500' },
    'memory-gb': { type: 'string', default: '128' },
    'page-reads': { type: 'string', default: '10000' },
    'copy-mb': { type: 'string', default: '200' },
    'rebuild-hours': { type: 'string', default: '4' },
  },
});
const given = Object.fromEntries(
  Object.entries(values).map(([name, value]) => [name, Number(value)]),
) as Record<keyof typeof values, number>;

/** A million is what a client is expected to have at most. */
const MOST_KEYS = 1_000_000;
const KEY_BYTES = 1236;
const INDEX_BYTES = 71;
const DAY_S = 86_400;

interface Share {
  keys: number;
}

const sizes = drawSizes();
const total = sizes.reduce((sum, keys) => sum + keys, 0);

/** Each resource as a share of what there is: at 1 it is used up. */
function usage({ keys }: Share): Record<string, number> {
  const share = keys / total;
  const uploads = (given.users * given.uploads * given.peak * share) / DAY_S;
  const newKeys = (given.users * given['new-keys'] * given.peak * share) / DAY_S;
  const memory = given['memory-gb'] * 1e9 * 0.75;
  const misses = Math.max(0, 1 - memory / (keys * INDEX_BYTES));
  return {
    disk: (keys * KEY_BYTES) / (given['disk-tb'] * 1e12),
    'copy of a lost member':
      (keys * KEY_BYTES) / (given['copy-mb'] * 1e6 * 3600 * given['rebuild-hours']),
    commits: uploads / given.commits,
    'page reads of the index': (newKeys * misses) / given['page-reads'],
  };
}

function drawSizes(): Float64Array {
  const median = given.keys / Math.exp(given.spread ** 2 / 2);
  const drawn = new Float64Array(given.users);
  let seed = 1;
  const uniform = () => (seed = (seed * 48_271) % 2_147_483_647) / 2_147_483_647;
  for (let user = 0; user < given.users; user += 1) {
    const normal = Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
    drawn[user] = Math.min(MOST_KEYS, Math.round(median * Math.exp(given.spread * normal)));
  }
  return drawn;
}

/** Any hash of the user id does. */
function shardOf(user: number, shards: number): number {
  let hash = Math.imul(user ^ (user >>> 16), 0x45d9f3b);
  hash = Math.imul(hash ^ (hash >>> 16), 0x45d9f3b);
  return ((hash ^ (hash >>> 16)) >>> 0) % shards;
}

/** The share of the fullest database. */
function fullest(shards: number): Share {
  const shares = new Float64Array(shards);
  sizes.forEach((keys, user) => {
    const shard = shardOf(user, shards);
    shares[shard] = (shares[shard] ?? 0) + keys;
  });
  return { keys: Math.max(...shares) };
}

const sorted = sizes.slice().sort();
const at = (part: number) => sorted.at(part * (sorted.length - 1))?.toLocaleString('en');
const percent = (part: number) => `${(part * 100).toFixed(0)} %`;
console.log(
  `${given.users.toLocaleString('en')} users, ${(total / 1e9).toFixed(1)} thousand million keys, ${((total * KEY_BYTES) / 1e12).toFixed(1)} TB; keys of a user: median ${at(0.5)}, 99 % ${at(0.99)}, 99.99 % ${at(0.9999)}, most ${at(1)}\n`,
);
console.log('| databases | the fullest against the average | used up there |\n| --- | --- | --- |');
for (let shards = 1, most = Infinity; most > 1; shards *= 2) {
  const share = fullest(shards);
  const used = Object.entries(usage(share)).sort(([, one], [, other]) => other - one);
  const text = used.map(([resource, part]) => `${resource} ${percent(part)}`).join(', ');
  console.log(`| ${shards} | ${percent((share.keys * shards) / total)} | ${text} |`);
  most = Math.max(...used.map(([, part]) => part));
}
