/** Reads Prometheus' text exposition format as strictly as its own parser: anything else is an error. */

/** One sample. */
export interface Sample {
  name: string;
  labels: Record<string, string>;
  value: number;
}

const NAME = /[a-zA-Z_:][a-zA-Z0-9_:]*/y;
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"/y;

/**
 * All samples of an exposition.
 *
 * @throws {Error} for what Prometheus would refuse: a malformed line, a sample without its TYPE, the same one twice.
 */
export function samplesOf(text: string): Sample[] {
  if (!text.endsWith("\n")) throw new Error("the last line does not end");
  const typed = new Set<string>();
  const seen = new Set<string>();
  return text.slice(0, -1).split("\n").flatMap((line) => {
    const type = /^# TYPE (\S+) gauge$/.exec(line)?.[1];
    if (type !== undefined) {
      if (typed.has(type)) throw new Error(`TYPE of ${type} given twice`);
      typed.add(type);
      return [];
    }
    if (line.startsWith("# HELP ")) return [];
    const sample = sampleOf(line);
    if (!typed.has(sample.name)) throw new Error(`no TYPE before ${line}`);
    const identity = JSON.stringify([sample.name, Object.entries(sample.labels).sort()]);
    if (seen.has(identity)) throw new Error(`given twice: ${line}`);
    seen.add(identity);
    return [sample];
  });
}

function sampleOf(line: string): Sample {
  NAME.lastIndex = 0;
  const name = NAME.exec(line)?.[0] ?? "";
  let at = name.length;
  const labels: Record<string, string> = {};
  if (line[at] === "{") {
    do {
      LABEL.lastIndex = at + 1;
      const [pair, label = "", value = ""] = LABEL.exec(line) ?? [];
      if (pair === undefined) throw new Error(`malformed: ${line}`);
      labels[label] = value.replace(/\\(.)/g, (_, char: string) => char === "n" ? "\n" : char);
      at += 1 + pair.length;
    } while (line[at] === ",");
    if (line[at] !== "}") throw new Error(`malformed: ${line}`);
    at++;
  }
  const value = line.slice(at);
  if (name === "" || !/^ -?\d+(\.\d+)?(e[+-]?\d+)?$/.test(value)) throw new Error(`malformed: ${line}`);
  return { name, labels, value: Number(value) };
}
