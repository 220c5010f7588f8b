import { settingRows, type Variables } from './settings.js';

/** A variable that looks like a setting but is not read. */
export interface MisspeltSetting {
  /** Why the server does not start with it: what is wrong, and what to set. */
  refusal?: string;
  /** The warning for the operator, if the server starts nevertheless. */
  remark?: string;
}

/** Minimum length of names that are matched with others: `HOST`, `PORT` and `WORKERS` are too short. */
const SHORTEST = 8;

/**
 * Finds settings that are spelt wrong among the variables of other programs, which are none of our
 * business. A name that is a slip or two away from a setting which is not set itself is refused: with
 * `DATABSE_URL` the server would store keys in a database of its own making. Where that setting is
 * set, empty or not, the other name may well belong to another program, and only causes a warning; so
 * does one that begins like a setting, such as `TOKEN_CACHE_TTL`.
 */
export function misspeltSettings(variables: Variables): MisspeltSetting[] {
  return Object.keys(variables)
    .filter((name) => !known.has(name))
    .flatMap((name) => judge(name, variables) ?? []);
}

const secrets = settingRows.flatMap(([name, { secret }]) => (secret ? `${name}_FILE` : []));
const known: ReadonlySet<string> = new Set([...settingRows.map(([name]) => name), ...secrets]);
/** The first two words of those that have more. */
const families = new Set(settingRows.flatMap(([name]) => /^[A-Z]+_[A-Z]+_/.exec(name)?.[0] ?? []));

/** The setting that a name is, or is a slip or two away from; undefined for names of others. */
export function settingMeant(name: string): string | undefined {
  if (known.has(name)) return name;
  return [...known].find((setting) => isSlip(name.toUpperCase(), setting));
}

function judge(name: string, variables: Variables): MisspeltSetting | undefined {
  const meant = settingMeant(name);
  const what = `${name} is not a setting`;
  if (meant !== undefined && variables[meant] === undefined)
    return { refusal: `${what}. Set ${meant}, or both if another program needs ${name}.` };
  if (meant !== undefined) return { remark: `${what} and is ignored; ${meant} is used.` };
  const plain = name.replace(/_FILE$/, '');
  if (plain !== name && plain.length >= SHORTEST && known.has(plain)) {
    return {
      remark: `${what} and is ignored: only secrets can be read from files. Set ${plain}.`,
    };
  }
  const family = [...families].find((words) => `${name}_`.startsWith(words));
  if (family === undefined) return undefined;
  const members = settingRows.map(([other]) => other).filter((other) => other.startsWith(family));
  return { remark: `${what} and is ignored. Settings with similar names: ${members.join(', ')}.` };
}

/** Whether it is one slip away from a setting, two from a long one, or the same in other letters. */
function isSlip(name: string, setting: string): boolean {
  return setting.length >= SHORTEST && isWithin(setting.length < 10 ? 1 : 2, name, setting);
}

/** Whether so many letters added, left out, replaced or exchanged with the next make one of the other. */
function isWithin(slips: number, a: string, b: string): boolean {
  if (a === b) return true;
  if (slips === 0) return false;
  let same = 0;
  while (a[same] === b[same]) same++;
  const [x, y] = [a.slice(same), b.slice(same)];
  const isSwapped = x.length > 1 && y.startsWith(x.charAt(1) + x.charAt(0));
  return (
    isWithin(slips - 1, x.slice(1), y) ||
    isWithin(slips - 1, x, y.slice(1)) ||
    isWithin(slips - 1, x.slice(1), y.slice(1)) ||
    (isSwapped && isWithin(slips - 1, x.slice(2), y.slice(2)))
  );
}
