import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";

function page(path: string): Promise<string> {
  return Deno.readTextFile(fileURLToPath(new URL(`../../${path}`, import.meta.url)));
}

/** Codes in the first column of the tables of a part of a page. */
function codesOf(text: string): string[] {
  const cells = text.split("\n").flatMap((line) => /^\| (`[^|]+`)[^|]* \|/.exec(line)?.[1] ?? []);
  return cells.flatMap((cell) => [...cell.matchAll(/`([a-z_]+)`/g)].map(([, code = ""]) => code));
}

Deno.test("the runbook says what to do about everything that the README says is noticed", async () => {
  const readme = await page("README.md");
  const noticed = readme.slice(
    readme.indexOf("## What it notices"),
    readme.indexOf("## Tables and functions"),
  );
  const known = new Set(codesOf(await page("docs/RUNBOOK.md")));
  const codes = codesOf(noticed);
  assert.ok(codes.length > 15);
  assert.deepEqual(codes.filter((code) => !known.has(code)), []);
});
