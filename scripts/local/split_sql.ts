/** Splits a migration into its statements, as the Supabase CLI records them. */

/** One statement of a file. */
export interface Statement {
  /** Without the semicolon and the white space around; comments before it are part of it. */
  text: string;
  /** Line of the file at which `text` begins; the first is 1. */
  line: number;
}

/** Things in which a semicolon means nothing, and words that open or close a function's SQL body. */
const TOKEN = new RegExp(
  [
    /(?<lineComment>--[^\n]*)/,
    /(?<blockComment>\/\*)/,
    /(?<dollar>\$(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$)/,
    /(?<escapeString>\b[eE]'(?:[^'\\]|''|\\[\s\S])*')/,
    /(?<string>'(?:[^']|'')*')/,
    /(?<identifier>"(?:[^"]|"")*")/,
    /(?<word>[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*)/,
    /(?<number>\d[\w.]*)/,
    /(?<semicolon>;)/,
  ].map((part) => part.source).join("|"),
  "g",
);

/** Splits SQL at the semicolons that end a statement: not those in strings, comments, bodies and quoted names. */
export function splitSql(sql: string): Statement[] {
  const statements: Statement[] = [];
  const scan = new RegExp(TOKEN);
  let start = 0;
  let depth = 0;
  let previousWord = "";
  for (let match = scan.exec(sql); match !== null; match = scan.exec(sql)) {
    const token = match.groups!;
    if (token.blockComment !== undefined) scan.lastIndex = blockCommentEnd(sql, match.index);
    else if (token.dollar !== undefined) scan.lastIndex = dollarEnd(sql, scan.lastIndex, token.dollar);
    else if (token.word !== undefined) {
      const word = token.word.toLowerCase();
      depth += depthChange(word, previousWord, depth);
      previousWord = word;
    } else if (token.semicolon !== undefined && depth === 0) {
      pushStatement(statements, sql, start, match.index);
      start = scan.lastIndex;
      previousWord = "";
    }
  }
  pushStatement(statements, sql, start, sql.length);
  return statements;
}

/** `begin atomic … end` holds statements of its own, and in them `case … end`. */
function depthChange(word: string, previousWord: string, depth: number): number {
  if (word === "atomic" && previousWord === "begin") return 1;
  if (depth === 0) return 0;
  if (word === "case" && previousWord !== "end") return 1;
  return word === "end" ? -1 : 0;
}

function pushStatement(statements: Statement[], sql: string, start: number, end: number): void {
  const raw = sql.slice(start, end);
  const text = raw.trim();
  if (text === "") return;
  const begin = start + raw.indexOf(text);
  statements.push({ text, line: sql.slice(0, begin).split("\n").length });
}

/** Block comments nest. An unclosed one runs to the end, where the server will complain. */
function blockCommentEnd(sql: string, start: number): number {
  const edge = /\/\*|\*\//g;
  edge.lastIndex = start;
  let depth = 0;
  for (let match = edge.exec(sql); match !== null; match = edge.exec(sql)) {
    depth += match[0] === "/*" ? 1 : -1;
    if (depth === 0) return edge.lastIndex;
  }
  return sql.length;
}

function dollarEnd(sql: string, from: number, tag: string): number {
  const end = sql.indexOf(tag, from);
  return end === -1 ? sql.length : end + tag.length;
}
