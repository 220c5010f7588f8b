/** How long the long forms run. A variable that cannot be read fails the run, instead of running something else. */
export const knobs = {
  /** Minutes that one suite takes on one database at most. */
  minutes: number('RELIABILITY_MINUTES', 2),
  /** Sequences of requests that are tried on each database, unless the minutes are over before. */
  sequences: number('RELIABILITY_SEQUENCES', 2000),
  /** Inputs that each suite of fuzzing tries, unless the minutes are over before. */
  inputs: number('RELIABILITY_INPUTS', 20_000),
  /** How often the server, and how often the database, is killed, on all databases together. */
  serverKills: number('RELIABILITY_SERVER_KILLS', 50),
  databaseKills: number('RELIABILITY_DATABASE_KILLS', 20),
  /** What randomness begins with: that of a failed run, to see it again. */
  seed: number('RELIABILITY_SEED', Math.floor(Math.random() * 2 ** 31)),
};

function number(name: string, standard: number): number {
  const text = process.env[name];
  if (!text) return standard;
  const value = Number(text);
  if (!Number.isFinite(value)) throw new Error(`${name} is '${text}': write a number.`);
  return value;
}
