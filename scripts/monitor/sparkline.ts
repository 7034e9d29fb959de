/** Numbers as a line of bars. */

const BARS = [..."▁▂▃▄▅▆▇█"];
const NOTHING = "·";

/** A bar for each number between the least and the greatest, `·` where there is none; empty without any number. */
export function sparkline(numbers: readonly (number | null)[]): string {
  const known = numbers.filter((number) => number !== null);
  if (known.length === 0) return "";
  const [least, greatest] = [Math.min(...known), Math.max(...known)];
  const bar = (number: number) => {
    // halves first: the span itself may be too large a number
    const share = least === greatest ? 0 : (number / 2 - least / 2) / (greatest / 2 - least / 2);
    return BARS[Math.round(share * (BARS.length - 1))] ?? NOTHING;
  };
  return numbers.map((number) => number === null ? NOTHING : bar(number)).join("");
}
