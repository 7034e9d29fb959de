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
  const runbook = await page("docs/RUNBOOK.md");
  const known = new Set([
    ...codesOf(runbook),
    ...[...runbook.matchAll(/^`([a-z_]+)`:/gm)].map(([, code]) => code),
  ]);
  const codes = codesOf(noticed);
  assert.ok(codes.length > 15);
  assert.deepEqual(codes.filter((code) => !known.has(code)), []);
});

/** What verdicts are called in the sources of a room, registries' own names left out. */
async function codesInSources(folder: string): Promise<string[]> {
  const root = new URL(`../../supabase/functions/_shared/rules/${folder}/`, import.meta.url);
  const files = await Array.fromAsync(Deno.readDir(root));
  const texts = await Promise.all(files.map(({ name }) => Deno.readTextFile(new URL(name, root))));
  const codes = texts.flatMap((text) =>
    [...text.matchAll(/code: "([a-z_]+)"/g)].map(([, code = ""]) => code)
  );
  return [...new Set(codes)].filter((code) => code !== "schedule_dead");
}

Deno.test("README and runbook know every verdict of the checks", async () => {
  const readme = new Set(codesOf(await page("README.md")));
  const runbook = new Set(codesOf(await page("docs/RUNBOOK.md")));
  const codes = [...await codesInSources("checks"), ...await codesInSources("edge_checks")];
  assert.ok(codes.length > 15);
  assert.deepEqual(codes.filter((code) => !readme.has(code) || !runbook.has(code)), []);
});
