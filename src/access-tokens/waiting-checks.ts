/**
 * Waiting checks: the addresses take turns, and of one address the newest check comes first. Checks
 * without a known address are treated as if they shared one.
 */
export class WaitingChecks<Check extends { readonly address: string | undefined }> {
  /** The address whose turn is next comes first; within an address, the oldest check. */
  private readonly byAddress = new Map<string | undefined, Check[]>();
  private readonly byAge = new Set<Check>();

  /** Adds a check as the newest of its address. */
  add(check: Check): void {
    this.byAge.add(check);
    const checks = this.byAddress.get(check.address);
    if (checks) checks.push(check);
    else this.byAddress.set(check.address, [check]);
  }

  /** Removes a check, if present. */
  delete(check: Check): void {
    if (!this.byAge.delete(check)) return;
    const checks = this.byAddress.get(check.address) ?? [];
    if (checks.length > 1) checks.splice(checks.indexOf(check), 1);
    else this.byAddress.delete(check.address);
  }

  /** Removes and returns the newest check of the next address that may start one. */
  takeNext(mayStart: (address: string | undefined) => boolean): Check | undefined {
    for (const [address, checks] of this.byAddress) {
      const newest = checks.at(-1);
      if (newest === undefined || !mayStart(address)) continue;
      this.delete(newest);
      // to the end of the queue of addresses
      if (this.byAddress.delete(address)) this.byAddress.set(address, checks);
      return newest;
    }
    return undefined;
  }

  /** Number of waiting checks of an address. */
  countOf(address: string): number {
    return this.byAddress.get(address)?.length ?? 0;
  }

  /** The check of an address that has waited longest. */
  oldestOf(address: string): Check | undefined {
    return this.byAddress.get(address)?.[0];
  }

  /** The check that has waited longest. */
  get oldest(): Check | undefined {
    const [oldest] = this.byAge;
    return oldest;
  }
}
