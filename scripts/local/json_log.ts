/** Log files of the stack: one JSON object a line, each with its time, the previous start's kept as `<name>.log.1`. */
import { join } from "node:path";

/** An open log file. Writing after `close` does nothing. */
export interface JsonLog {
  readonly path: string;
  write(fields: Readonly<Record<string, unknown>>): void;
  /**
   * Writes every line of a process's output that `wanted` takes, by default all; a line that is no JSON object becomes
   * `{ message }`.
   */
  writeLines(stream: ReadableStream<Uint8Array>, wanted?: (line: string) => boolean): Promise<void>;
  close(): void;
}

/** Opens `<folder>/<name>.log`, moving an existing one aside. */
export async function openJsonLog(folder: string, name: string): Promise<JsonLog> {
  await Deno.mkdir(folder, { recursive: true });
  const path = join(folder, `${name}.log`);
  await Deno.rename(path, `${path}.1`).catch((error) => {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  });
  const file = await Deno.open(path, { create: true, append: true, mode: 0o600 });
  let open = true;
  const write = (fields: Readonly<Record<string, unknown>>) => {
    if (!open) return;
    file.writeSync(
      new TextEncoder().encode(JSON.stringify({ at: new Date().toISOString(), ...fields }) + "\n"),
    );
  };
  return {
    path,
    write,
    writeLines: async (stream, wanted = () => true) => {
      for await (const line of textLines(stream)) {
        if (line.trim() !== "" && wanted(line)) write(asObject(line) ?? { message: line });
      }
    },
    close: () => {
      if (open) file.close();
      open = false;
    },
  };
}

/** The lines of a byte stream, the last one also without a line end. */
export async function* textLines(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stream) {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = parts.pop() ?? "";
    yield* parts;
  }
  if (rest !== "") yield rest;
}

function asObject(line: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? value as Record<string, unknown>
      : undefined;
  } catch {
    return undefined;
  }
}
