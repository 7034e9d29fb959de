/** Holds off addresses that keep on trying tokens which do not exist. Best effort: each instance counts for itself. */

/** Unknown tokens that an address may try a minute. */
const TRIES_A_MINUTE = 60;
const MINUTE_MS = 60_000;
/** Addresses that are remembered. */
const ADDRESSES_LIMIT = 1_000;

/** Counts unknown tokens by address. Instants are epoch milliseconds. */
export interface UnknownCallers {
  /** Seconds to wait before the next try; 0: go on. */
  waitSeconds(address: string, now: number): number;
  /** The address has tried a token that nobody has. */
  note(address: string, now: number): void;
}

/** Starts with nobody. */
export function createUnknownCallers(): UnknownCallers {
  const seen = new Map<string, { since: number; tries: number }>();
  return {
    waitSeconds(address, now) {
      const known = seen.get(address);
      if (known === undefined || known.tries < TRIES_A_MINUTE || now - known.since >= MINUTE_MS) return 0;
      return Math.ceil((known.since + MINUTE_MS - now) / 1000);
    },
    note(address, now) {
      const known = seen.get(address);
      if (known !== undefined && now - known.since < MINUTE_MS) {
        known.tries++;
        return;
      }
      if (seen.size >= ADDRESSES_LIMIT) seen.clear();
      seen.set(address, { since: now, tries: 1 });
    },
  };
}
