/** Tables and texts at a terminal. */
import assert from "node:assert/strict";
import { tableLines, wrap } from "../../../scripts/local/screen.ts";

Deno.test("tableLines() aligns columns by their widest cell", () => {
  const same = (text: string) => text;
  const paint = {
    bold: same,
    dim: same,
    red: same,
    green: same,
    yellow: same,
    blue: same,
    magenta: same,
    cyan: same,
  };
  const lines = tableLines(paint, [{ title: "name", align: "left" }, { title: "n", align: "right" }], [
    [{ text: "a" }, { text: "100" }],
    [{ text: "longer" }, { text: "2" }],
  ]);
  assert.deepEqual(lines, ["name      n", "a       100", "longer    2"]);
});

Deno.test("wrap() breaks at blanks, keeps line ends, and leaves a longer word whole", () => {
  assert.deepEqual(wrap("one two three\n\nfour", 8), ["one two", "three", "", "four"]);
  assert.deepEqual(wrap("https://example.test/long x", 8), ["https://example.test/long", "x"]);
});
