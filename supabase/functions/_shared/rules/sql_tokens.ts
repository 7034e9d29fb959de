/** SQL text in tokens, as far as reading a function's arguments needs it: literals, names, everything else by character. */

/** A piece of SQL. Comments and white space are none. */
export type SqlToken =
  | { kind: "text"; value: string }
  | { kind: "dollar"; value: string }
  | { kind: "name"; value: string }
  | { kind: "number"; value: string }
  | { kind: "other"; value: string };

const SPACE = /[ \t\r\n\f\v]+/y;
const LINE_COMMENT = /--[^\n]*/y;
const PLAIN_TEXT = /'((?:[^']|'')*)('|$)/y;
const ESCAPED_TEXT = /[eE]'((?:[^'\\]|\\[\s\S]|'')*)('|\\?$)/y;
const DOLLAR = /\$(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$/y;
const QUOTED_NAME = /"((?:[^"]|"")*)("|$)/y;
const NAME = /[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*/y;
const NUMBER = /\d+(?:_\d+)*(?:\.\d+)?/y;
const OPERATOR = /:=|=>|::|\|\||[\s\S]/y;

/** Splits SQL into tokens. Never fails: what is not closed ends with the text. */
export function tokensOf(sql: string): SqlToken[] {
  const tokens: SqlToken[] = [];
  let at = 0;
  const match = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at;
    const found = pattern.exec(sql);
    if (found !== null) at = pattern.lastIndex;
    return found;
  };
  while (at < sql.length) {
    if (match(SPACE) !== null || match(LINE_COMMENT) !== null) continue;
    if (sql.startsWith("/*", at)) {
      at = endOfComment(sql, at);
      continue;
    }
    const escaped = match(ESCAPED_TEXT);
    if (escaped !== null) {
      tokens.push(closed(escaped, "text", unescape(escaped[1] ?? "")));
      continue;
    }
    const text = match(PLAIN_TEXT);
    if (text !== null) {
      tokens.push(closed(text, "text", (text[1] ?? "").replaceAll("''", "'")));
      continue;
    }
    const tag = match(DOLLAR)?.[0];
    if (tag !== undefined) {
      const end = sql.indexOf(tag, at);
      tokens.push({ kind: "dollar", value: sql.slice(at, end < 0 ? undefined : end) });
      at = end < 0 ? sql.length : end + tag.length;
      continue;
    }
    const quoted = match(QUOTED_NAME);
    if (quoted !== null) {
      tokens.push(closed(quoted, "name", (quoted[1] ?? "").replaceAll('""', '"')));
      continue;
    }
    const name = match(NAME);
    if (name !== null) {
      tokens.push({ kind: "name", value: name[0].toLowerCase() });
      continue;
    }
    const number = match(NUMBER);
    if (number !== null) tokens.push({ kind: "number", value: number[0].replaceAll("_", "") });
    else tokens.push({ kind: "other", value: match(OPERATOR)?.[0] ?? "" });
  }
  return tokens;
}

/** What the end of the text cut off is no value. */
function closed(found: RegExpExecArray, kind: "text" | "name", value: string): SqlToken {
  return /^['"]$/.test(found[2] ?? "") ? { kind, value } : { kind: "other", value };
}

/** Comments nest in SQL. */
function endOfComment(sql: string, from: number): number {
  const mark = /\/\*|\*\//g;
  mark.lastIndex = from;
  let depth = 0;
  for (let found = mark.exec(sql); found !== null; found = mark.exec(sql)) {
    depth += found[0] === "/*" ? 1 : -1;
    if (depth === 0) return mark.lastIndex;
  }
  return sql.length;
}

const ESCAPES: Record<string, string> = { n: "\n", t: "\t", r: "\r", b: "\b", f: "\f" };

function unescape(text: string): string {
  return text.replaceAll("''", "'").replace(
    /\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|x([0-9a-fA-F]{1,2})|([0-7]{1,3})|([\s\S]))/g,
    (_, short?: string, long?: string, hex?: string, octal?: string, one?: string) => {
      if (one !== undefined) return ESCAPES[one] ?? one;
      const code = octal === undefined ? parseInt(short ?? long ?? hex ?? "", 16) : parseInt(octal, 8);
      return code > 0x10ffff ? "" : String.fromCodePoint(code);
    },
  );
}
