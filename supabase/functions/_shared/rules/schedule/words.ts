/** Lists of numbers and names as a person would say them. */

/** Ascending numbers in words, with runs and regular steps told short: `0 to 3, 22 and 23`. */
export function numbersInWords(values: readonly number[]): string {
  const steps = values.slice(1).map((value, index) => value - (values[index] ?? 0));
  if (values.length >= 6 && steps[0] !== 1 && steps.every((step) => step === steps[0])) {
    return `${values.slice(0, 3).join(", ")}, … ${values.at(-1)}`;
  }
  return inWords(runsOf(values).flatMap((run) => runInWords(run, String)));
}

/** Cuts ascending numbers where one is missing. */
export function runsOf(values: readonly number[]): number[][] {
  const runs: number[][] = [];
  for (const value of values) {
    const run = runs.at(-1);
    if (run && run.at(-1) === value - 1) run.push(value);
    else runs.push([value]);
  }
  return runs;
}

/** A run of three or more as `first to last`, a shorter one as its members. */
export function runInWords(run: readonly number[], nameOf: (value: number) => string): string[] {
  const names = run.map(nameOf);
  return names.length < 3 ? names : [`${names[0]} to ${names.at(-1)}`];
}

/** `a`, `a and b`, `a, b and c`. */
export function inWords(items: readonly string[]): string {
  if (items.length < 2) return items.join("");
  return `${items.slice(0, -1).join(", ")} and ${items.at(-1)}`;
}
