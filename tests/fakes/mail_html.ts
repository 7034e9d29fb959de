/** Reads a mail's HTML as the pickiest of mail clients would, and refuses what one of them would drop or act on. */

/** Thrown for HTML that a mail should not hold. */
export class MailHtmlError extends Error {}

const VOID = new Set(["meta", "br"]);
const TAGS = new Set(["html", "head", "meta", "title", "body", "div", "table", "tr", "td", "a", "br"]);
const ATTRIBUTES: Readonly<Record<string, readonly string[]>> = {
  html: ["lang"],
  meta: ["charset", "name", "content"],
  body: ["style"],
  div: ["style"],
  table: ["role", "cellpadding", "cellspacing", "border", "width", "style"],
  td: ["align", "width", "style"],
  a: ["href", "style"],
};
const ENTITIES: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', "#39": "'" };
const PARTS = /<!doctype html>|<(\/?)([a-z]+)((?: [a-z]+="[^"<>]*")*)>|([^<]+)|(<)/gi;

/** The text that is read, links with their address. @throws {MailHtmlError} */
export function readMailHtml(html: string): string {
  if (!html.startsWith("<!doctype html>")) throw new MailHtmlError("no doctype");
  const open: string[] = [];
  let text = "";
  for (const [whole, closing, name, attributes = "", words, stray] of html.matchAll(PARTS)) {
    if (stray !== undefined) throw new MailHtmlError("a < that begins no tag that a mail may hold");
    if (words !== undefined) text += open.includes("title") ? "" : decode(words);
    else if (name !== undefined) text += readTag(closing === "/", name.toLowerCase(), attributes, open);
    else if (!/^<!doctype/i.test(whole)) throw new MailHtmlError(`unexpected ${whole}`);
  }
  if (open.length > 0) throw new MailHtmlError(`<${open.at(-1)}> is not closed`);
  return text.replace(/\n{2,}/g, "\n").trim();
}

function readTag(isClosing: boolean, name: string, attributes: string, open: string[]): string {
  if (!TAGS.has(name)) throw new MailHtmlError(`<${name}> is no tag for a mail`);
  if (isClosing) {
    const last = open.pop();
    if (last !== name) throw new MailHtmlError(`</${name}> closes <${last}>`);
    return name === "td" || name === "div" ? "\n" : "";
  }
  const href = readAttributes(name, attributes);
  if (name === "br") return "\n";
  if (!VOID.has(name)) open.push(name);
  return href === null ? "" : `<${href}> `;
}

function readAttributes(name: string, attributes: string): string | null {
  let href: string | null = null;
  for (const [, key = "", value = ""] of attributes.matchAll(/ ([a-z]+)="([^"]*)"/g)) {
    if (!ATTRIBUTES[name]?.includes(key)) throw new MailHtmlError(`${key} is no attribute for <${name}>`);
    if (key === "style" && /url\(|expression|position|javascript|@import/i.test(value)) {
      throw new MailHtmlError(`style "${value}" is not for a mail`);
    }
    if (key === "href") {
      href = decode(value);
      if (!href.startsWith("https://")) throw new MailHtmlError(`a link to "${href}"`);
    }
  }
  return href;
}

function decode(text: string): string {
  return text.replace(/&(?:([a-z]+|#\d+);)?/g, (whole, name) => {
    const sign = ENTITIES[name];
    if (sign === undefined) throw new MailHtmlError(`${whole} is no entity that we write`);
    return sign;
  });
}
