/**
 * Checks that wait: the addresses take turns, and of one address the newest check comes first. Those
 * whose address is not known take turns as if they had one in common.
 */
export class WaitingChecks<Check extends { readonly address: string | undefined }> {
  /** The address whose turn is next comes first; its oldest check comes first. */
  private readonly byAddress = new Map<string | undefined, Check[]>();
  private readonly byAge = new Set<Check>();

  /** Adds a check as the newest of its address. */
  add(check: Check): void {
    this.byAge.add(check);
    const checks = this.byAddress.get(check.address);
    if (checks) checks.push(check);
    else this.byAddress.set(check.address, [check]);
  }

  /** Removes a check, if it is there. */
  delete(check: Check): void {
    if (!this.byAge.delete(check)) return;
    const checks = this.byAddress.get(check.address) ?? [];
    if (checks.length > 1) checks.splice(checks.indexOf(check), 1);
    else this.byAddress.delete(check.address);
  }

  /** Removes and returns the newest check of the next address for which one may start. */
  takeNext(mayStart: (address: string | undefined) => boolean): Check | undefined {
    for (const [address, checks] of this.byAddress) {
      const newest = checks.at(-1);
      if (newest === undefined || !mayStart(address)) continue;
      this.delete(newest);
      // to the end of the line of addresses
      if (this.byAddress.delete(address)) this.byAddress.set(address, checks);
      return newest;
    }
    return undefined;
  }

  /** How many checks of an address wait. */
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
