/** Fenced blocks of a Markdown file, and what a comment before one says about running it. */

/** A fenced block. */
export interface Block {
  /** What is written behind the fence: `bash`, `sql`, `ts`, `text`. */
  language: string;
  text: string;
  /** Line of the opening fence; the first is 1. */
  line: number;
  /** Why it is not run; `null`: it is. */
  notRun: string | null;
  /** Why a superuser has to run it; `null`: none has to. */
  asSuperuser: string | null;
}

const FENCE = /^ *(`{3,})(.*)$/;
const COMMENT = /^<!-- (not run|run as superuser): (.+) -->$/;

/**
 * Reads all fenced blocks, in their order.
 * @throws {Error} at a fence that is never closed, and at a comment before a block that says something else.
 */
export function readBlocks(markdown: string): Block[] {
  const lines = markdown.split("\n");
  const blocks: Block[] = [];
  for (let index = 0; index < lines.length; index++) {
    const [, fence, language = ""] = FENCE.exec(lines[index] ?? "") ?? [];
    if (fence === undefined) continue;
    const end = lines.indexOf(fence, index + 1);
    if (end < 0) throw new Error(`The block at line ${index + 1} is never closed`);
    blocks.push({
      language: language.trim(),
      text: lines.slice(index + 1, end).join("\n"),
      line: index + 1,
      ...marksBefore(lines, index),
    });
    index = end;
  }
  return blocks;
}

function marksBefore(lines: readonly string[], index: number): Pick<Block, "notRun" | "asSuperuser"> {
  const before = lines.slice(0, index).findLast((line) => line.trim() !== "") ?? "";
  const [, kind, reason = null] = COMMENT.exec(before) ?? [];
  if (kind === undefined && before.startsWith("<!--")) {
    throw new Error(`Unknown comment before the block at line ${index + 1}: ${before}`);
  }
  return {
    notRun: kind === "not run" ? reason : null,
    asSuperuser: kind === "run as superuser" ? reason : null,
  };
}
