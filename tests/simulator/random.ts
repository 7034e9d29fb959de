/** Chance from a seed: the same seed gives the same world. */

/** A source of chance. */
export interface Random {
  /** At least 0, below 1. */
  next(): number;
  /** Evenly between two numbers. */
  between(low: number, high: number): number;
  /** Between two numbers of very different size, each order of magnitude as likely as the others. */
  spread(low: number, high: number): number;
  /** Whole, both ends included. */
  whole(low: number, high: number): number;
  chance(probability: number): boolean;
  pick<T>(list: readonly T[]): T;
}

/** Mulberry32: small, and good enough to draw weather with. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const between = (low: number, high: number) => low + (high - low) * next();
  return {
    next,
    between,
    spread: (low, high) => Math.exp(between(Math.log(low), Math.log(high))),
    whole: (low, high) => Math.floor(between(low, high + 1)),
    chance: (probability) => next() < probability,
    pick: <T>(list: readonly T[]) => {
      const picked = list[Math.floor(next() * list.length)];
      if (picked === undefined) throw new Error("Cannot pick from an empty list");
      return picked;
    },
  };
}
