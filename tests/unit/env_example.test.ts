/** .env.example against the sources: every variable that something reads stands there. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { REPOSITORY } from "../../scripts/local/repository.ts";

/** Looks like a variable, and is the code of an error. */
const ERROR_CODES: ReadonlySet<string> = new Set([
  "CONNECT_TIMEOUT",
  "EAI_AGAIN",
  "TLS_REFUSED",
  "TLS_UNTRUSTED",
]);
/** What the platform sets by itself. */
const PLATFORM = /^(DENO_|SUPABASE_)/;

async function sources(folder: string): Promise<string[]> {
  const texts: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    const path = join(folder, name);
    if (isDirectory) texts.push(...await sources(path));
    else if (name.endsWith(".ts")) texts.push(await Deno.readTextFile(path));
  }
  return texts;
}

Deno.test(".env.example has every variable that the functions read", async () => {
  const example = await Deno.readTextFile(join(REPOSITORY, ".env.example"));
  const known = new Set([...example.matchAll(/^(?:# )?([A-Z][A-Z0-9_]*)=/gm)].map(([, name = ""]) => name));
  const texts = await sources(join(REPOSITORY, "supabase", "functions"));
  const read = new Set(
    texts.flatMap((text) =>
      [...text.matchAll(/"([A-Z]+(?:_[A-Z]+)+)"|^ {2}([A-Z]+(?:_[A-Z]+)+): |\benv\.([A-Z]+(?:_[A-Z]+)+)\b/gm)]
        .map(([, quoted, key, property]) => quoted ?? key ?? property ?? "")
    ),
  );
  const missing = [...read].filter((name) =>
    !known.has(name) && !ERROR_CODES.has(name) && !PLATFORM.test(name)
  );
  assert.ok(read.size > 20);
  assert.deepEqual(missing, []);
});
