/** What was probably meant by a misspelt name. */

/** Most names answered. */
const MOST = 5;

/** Known names that are close: one holds the other, or few letters differ. The closest come first, each once. */
export function closestNames(name: string, known: readonly string[]): string[] {
  const wanted = name.toLowerCase();
  return [...new Set(known)]
    .map((one) => ({ one, distance: distanceBetween(wanted, one.toLowerCase()) }))
    .filter(({ one, distance }) => distance <= Math.max(2, Math.floor(one.length / 3)))
    .sort((a, b) => a.distance - b.distance || a.one.localeCompare(b.one))
    .slice(0, MOST)
    .map(({ one }) => one);
}

function distanceBetween(a: string, b: string): number {
  if (a.length >= 3 && b.includes(a) || b.length >= 3 && a.includes(b)) return 1;
  return editDistance(a, b);
}

/** Letters to insert, delete or replace (Levenshtein). */
function editDistance(a: string, b: string): number {
  let above = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const line = [row];
    for (let column = 1; column <= b.length; column++) {
      const replaced = (above[column - 1] ?? 0) + (a[row - 1] === b[column - 1] ? 0 : 1);
      line.push(Math.min(replaced, (above[column] ?? 0) + 1, (line[column - 1] ?? 0) + 1));
    }
    above = line;
  }
  return above[b.length] ?? 0;
}
