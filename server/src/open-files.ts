import { readFileSync } from 'node:fs';

/** Descriptors that client connections leave to the database, Redis, files and connections that are just being closed. */
const RESERVE = 640;
/** If the operating system reports no limit. */
const FALLBACK_CONNECTIONS = 10_000;

/** How many client connections a process can have: its limit of open files, less what it needs for other things. */
export function connectionsWithin(openFiles: number | undefined): number {
  if (openFiles === undefined) return FALLBACK_CONNECTIONS;
  return openFiles - Math.min(RESERVE, Math.floor(openFiles / 2));
}

/** The limit of open files of this process; Infinity where there is none, undefined where it is not known. */
export function openFilesLimit(): number | undefined {
  return fromProc() ?? fromReport();
}

function fromProc(): number | undefined {
  try {
    const limits = readFileSync('/proc/self/limits', 'utf8');
    return asLimit(/^Max open files +(\S+)/m.exec(limits)?.[1]);
  } catch {
    return undefined;
  }
}

/** As reported by Node if there is no /proc, for example on macOS. */
function fromReport(): number | undefined {
  const { userLimits } = process.report.getReport() as {
    userLimits?: { open_files?: { soft?: string | number } };
  };
  return asLimit(userLimits?.open_files?.soft);
}

function asLimit(text: string | number | undefined): number | undefined {
  if (text === 'unlimited') return Infinity;
  const limit = Number(text);
  return Number.isInteger(limit) && limit > 0 ? limit : undefined;
}
