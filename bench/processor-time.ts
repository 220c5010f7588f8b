import { readdirSync, readFileSync } from 'node:fs';

/** Milliseconds in a clock tick of Linux. */
const TICK_MS = 10;

/** Milliseconds of processor time that a process took so far, in all threads; 0 if there is none. */
export const cpuOfProcess = (pid: number): number => ticks(pid, 2) * TICK_MS;

/** The same for all processes of programs of these names, with the children of theirs that have ended. */
export function cpuOfPrograms(names: readonly string[]): number | undefined {
  const found = pids().filter((pid) => names.includes(proc(pid, 'comm')?.trim() ?? ''));
  if (found.length === 0) return undefined;
  return found.reduce((sum, pid) => sum + ticks(pid, 4), 0) * TICK_MS;
}

function pids(): number[] {
  try {
    return readdirSync('/proc').map(Number).filter(Number.isInteger);
  } catch {
    return [];
  }
}

/** @param fields 2 for utime and stime, fields 14 and 15 of its line; 4 for those of its children that have ended too */
function ticks(pid: number, fields: 2 | 4): number {
  const stat = proc(pid, 'stat');
  // the name of the program, in brackets, may hold spaces
  const numbers = stat?.slice(stat.lastIndexOf(')') + 2).split(' ') ?? [];
  return numbers.slice(11, 11 + fields).reduce((sum, field) => sum + Number(field), 0);
}

/** A file of a process; undefined if there is no such process, or no /proc. */
export function proc(pid: number, file: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return undefined;
  }
}
