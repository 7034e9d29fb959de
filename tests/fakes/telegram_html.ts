/**
 * Telegram's HTML parse mode, with the errors of its own parser (tdlib). Stricter in one thing: `&` must begin one of
 * the documented entities and `>` must end a tag, where Telegram would let some of it pass.
 */

/** Tags, and the attributes that mean something in them. */
const TAGS: Readonly<Record<string, readonly string[]>> = {
  b: [],
  strong: [],
  i: [],
  em: [],
  u: [],
  ins: [],
  s: [],
  strike: [],
  del: [],
  "tg-spoiler": [],
  span: ["class"],
  a: ["href"],
  code: ["class"],
  pre: [],
  blockquote: ["expandable"],
  "tg-emoji": ["emoji-id"],
};

const NAMED_ENTITIES: Readonly<Record<string, string>> = { lt: "<", gt: ">", amp: "&", quot: '"' };

/** A message that Telegram cannot read; the message is its description, without `Bad Request: can't parse entities: `. */
export class EntityError extends Error {}

/**
 * The text that is left when the markup is taken out; links keep their address in `<…>` behind the label.
 *
 * @throws {EntityError}
 */
export function parseTelegramHtml(html: string): { visible: string; readable: string } {
  const open: { tag: string; href: string | null }[] = [];
  let visible = "";
  let readable = "";
  let at = 0;
  while (at < html.length) {
    const next = html.slice(at).search(/[<>&]/);
    const plain = next === -1 ? html.slice(at) : html.slice(at, at + next);
    visible += plain;
    readable += plain;
    at += plain.length;
    if (at >= html.length) break;
    if (html[at] === ">") throw new EntityError(`Unescaped ">" at byte offset ${bytes(html, at)}`);
    if (html[at] === "&") {
      const { text, length } = parseEntity(html, at);
      visible += text;
      readable += text;
      at += length;
    } else if (html[at + 1] === "/") {
      const { href, end } = closeTag(html, at, open);
      if (href !== null) readable += ` <${href}>`;
      at = end;
    } else {
      const { tag, href, end } = openTag(html, at);
      open.push({ tag, href });
      at = end;
    }
  }
  const last = open.at(-1);
  if (last !== undefined) {
    throw new EntityError(`Can't find end tag corresponding to start tag "${last.tag}"`);
  }
  return { visible, readable };
}

function openTag(html: string, at: number): { tag: string; href: string | null; end: number } {
  const offset = bytes(html, at);
  const [, name = ""] = /^<([^\s>]*)/.exec(html.slice(at)) ?? [];
  let end = at + 1 + name.length;
  if (end >= html.length) throw new EntityError(`Unclosed start tag at byte offset ${offset}`);
  const tag = name.toLowerCase();
  const known = TAGS[tag];
  if (known === undefined) throw new EntityError(`Unsupported start tag "${tag}" at byte offset ${offset}`);
  const attributes = new Map<string, string>();
  while (html[end] !== ">") {
    const attribute = /^\s+([^\s=>"'/]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([\w.-]+)))?\s*(?=[\s>])/.exec(
      html.slice(end),
    );
    if (attribute === null) throw new EntityError(`Unclosed start tag "${tag}" at byte offset ${offset}`);
    const [whole, key = "", ...values] = attribute;
    if (!known.includes(key)) {
      throw new EntityError(`Unexpected attribute "${key}" in the tag "${tag}" at byte offset ${offset}`);
    }
    attributes.set(key, decode(values.find((value) => value !== undefined) ?? ""));
    end += whole.length;
  }
  if (tag === "span" && attributes.get("class") !== "tg-spoiler") {
    throw new EntityError(`Tag "span" must have class "tg-spoiler" at byte offset ${offset}`);
  }
  return { tag, href: attributes.get("href") ?? null, end: end + 1 };
}

function closeTag(html: string, at: number, open: { tag: string; href: string | null }[]) {
  const offset = bytes(html, at);
  const top = open.pop();
  if (top === undefined) throw new EntityError(`Unexpected end tag at byte offset ${offset}`);
  const [whole, name] = /^<\/([^\s>]*)\s*>/.exec(html.slice(at)) ?? [];
  if (whole === undefined || name === undefined) {
    throw new EntityError(`Unclosed end tag at byte offset ${offset}`);
  }
  if (name !== "" && name.toLowerCase() !== top.tag) {
    const found = name.toLowerCase();
    throw new EntityError(
      `Unmatched end tag at byte offset ${offset}, expected "</${top.tag}>", found "</${found}>"`,
    );
  }
  return { href: top.href, end: at + whole.length };
}

function parseEntity(html: string, at: number): { text: string; length: number } {
  const [whole, decimal, hex, name] =
    /^&(?:#(\d{1,7})|#[xX]([0-9a-fA-F]{1,6})|([a-z]+));/.exec(html.slice(at)) ?? [];
  const code = decimal !== undefined ? Number(decimal) : hex !== undefined ? parseInt(hex, 16) : null;
  const text = code === null
    ? NAMED_ENTITIES[name ?? ""]
    : code > 0 && code < 0x10ffff
    ? String.fromCodePoint(code)
    : undefined;
  if (whole === undefined || text === undefined) {
    throw new EntityError(`Unsupported entity at byte offset ${bytes(html, at)}`);
  }
  if (!text.isWellFormed()) {
    throw new EntityError(
      "Text contains invalid Unicode characters after decoding HTML entities, check for unmatched surrogate code units",
    );
  }
  return { text, length: whole.length };
}

function decode(value: string): string {
  return value.replace(/&[^;]*;?/g, (entity) => parseEntity(entity, 0).text);
}

function bytes(html: string, at: number): number {
  return new TextEncoder().encode(html.slice(0, at)).length;
}
