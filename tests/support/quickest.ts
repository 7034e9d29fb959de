/** How long work takes that computes only: the quickest of some rounds, since a test shares its processors. */

const ROUNDS = 10;

/** Milliseconds of the quickest round; no more rounds than it takes to come below `limitMs`. */
export function quickestMs(limitMs: number, work: () => void): number {
  let quickest = Infinity;
  for (let round = 0; round < ROUNDS && quickest >= limitMs; round++) {
    const began = performance.now();
    work();
    quickest = Math.min(quickest, performance.now() - began);
  }
  return quickest;
}
