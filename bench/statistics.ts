/** What a phase took: times in milliseconds. */
export interface Summary {
  samples: number;
  total: number;
  median: number;
  p99: number;
}

export function summary(times: readonly number[]): Summary {
  return {
    samples: times.length,
    total: times.reduce((sum, one) => sum + one, 0),
    median: quantile(times, 0.5),
    p99: quantile(times, 0.99),
  };
}

export const median = (numbers: readonly number[]) => quantile(numbers, 0.5);

/** By nearest rank: a value that was really measured. NaN without any. */
export function quantile(numbers: readonly number[], q: number): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? NaN;
}
