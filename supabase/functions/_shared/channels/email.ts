/**
 * Alerts as mails, for every service that sends them: a subject, HTML of tables and inline styles, which is what mail
 * clients show alike, and a plain text twin.
 */
import { z } from "zod";
import type { Message, MessageField } from "../domain/delivery.ts";
import { httpsUrl } from "../rules/links.ts";
import { describeRest, renderPlain, stripLabel } from "../rules/message.ts";
import { clean, cut, oneLine } from "../rules/text.ts";
import { type Appearance, appearanceOf, htmlColour } from "./appearance.ts";

/** A mail without its addresses. */
export interface Mail {
  subject: string;
  html: string;
  text: string;
}

/** UTF-8 bytes once escaped, but for the subject: UTF-16 units. */
const LIMITS = {
  subject: 200,
  title: 600,
  cause: 4_000,
  label: 400,
  value: 3_000,
  excerpt: 12_000,
  footer: 600,
};
/** Bytes for all facts: Gmail cuts a mail off at 102 kB. */
const FACTS_LIMIT = 50_000;
const TEXT_LIMIT = 60_000;
const LINKS = 10;
const LINK_LIMIT = 2_000;
/** Mail addresses that both services take in one request. */
const RECIPIENT_LIMIT = 50;

const FONT = "font-family:-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif";
const MONO = "font-family:ui-monospace,Menlo,Consolas,monospace";
const TABLE = 'role="presentation" cellpadding="0" cellspacing="0" border="0"';

/** Writes a mail; nothing in it is markup but ours, and every link is https. */
export function renderMail(message: Message): Mail {
  const look = appearanceOf(message);
  return {
    subject: cut(`${look.sign} ${oneLine(message.title)}`, LIMITS.subject),
    html: htmlOf(message, look),
    text: cut(renderPlain(message), TEXT_LIMIT, bytes),
  };
}

// --- addresses ---

/** One `name@example.com` or `Name <name@example.com>`, for a `From`. */
export const mailbox = z.string({ error: "sender is empty" }).transform((text, context) => {
  const written = mailboxOf(text);
  if (written !== null) return written;
  context.addIssue({ code: "custom", message: "sender must look like Alerts <alerts@example.com>" });
  return z.NEVER;
});

/** Addresses as a person lists them, for a `To`. */
export const mailboxes = z.string({ error: "recipients is empty" }).transform((text, context) => {
  const written = text.match(/(?:"(?:[^"\\]|\\.)*"|[^",;\n])+/g) ?? [];
  const list = written.filter((one) => oneLine(one) !== "").map(mailboxOf);
  const valid = list.filter((one) => one !== null);
  if (valid.length === list.length && list.length > 0 && list.length <= RECIPIENT_LIMIT) return valid;
  const message = list.length > RECIPIENT_LIMIT
    ? `recipients must be at most ${RECIPIENT_LIMIT} addresses`
    : "recipients must be mail addresses, comma separated";
  context.addIssue({ code: "custom", message });
  return z.NEVER;
});

/** As a mail's header takes it, or `null`: no line breaks, names quoted where they hold signs with a meaning. */
function mailboxOf(text: string): string | null {
  const line = oneLine(text);
  const [, written = "", bracketed] = /^(.*?)\s*<([^<>]*)>$/.exec(line) ?? [];
  const address = (bracketed ?? line).trim();
  if (!/^[^\s@<>()[\]\\,;:"]{1,64}@[^\s@<>()[\]\\,;:"]{1,190}$/.test(address)) return null;
  const name = written.replace(/^"(.*)"$/, "$1").replace(/\\(.)/g, "$1").trim();
  if (name === "") return address;
  // one address only: what looks like another one is a mistake
  if (/[<>]/.test(name)) return null;
  const quoted = /[()[\]:;@\\,."]/.test(name) ? `"${name.replace(/["\\]/g, "\\$&")}"` : name;
  return `${quoted} <${address}>`;
}

// --- HTML ---

function htmlOf(message: Message, look: Appearance): string {
  const title = fit(`${look.sign} ${oneLine(message.title)}`, LIMITS.title);
  const cause = fit(clean(message.cause).trim(), LIMITS.cause);
  const rows = [
    row(title, "padding:16px 24px 0;font-size:20px;line-height:28px;font-weight:600;color:#101828"),
    row(cause, "padding:8px 24px 0;font-size:15px;line-height:22px;color:#344054"),
    ...factRows(message),
    ...excerptRows(message),
    ...linkRows(message, look),
    row(
      fit(oneLine(message.footer), LIMITS.footer),
      "padding:16px 24px;font-size:12px;line-height:18px;color:#667085",
    ),
  ];
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>${title}</title></head>
<body style="margin:0;padding:0;background-color:#f2f4f7">
<div style="display:none;max-height:0;overflow:hidden">${fit(oneLine(message.cause), 300)}</div>
<table ${TABLE} width="100%" style="background-color:#f2f4f7"><tr><td align="center" style="padding:16px 8px">
<table ${TABLE} width="600" style="width:100%;max-width:600px;background-color:#ffffff;border-top:4px solid ${
    htmlColour(look)
  }">
${rows.filter((row) => row !== "").join("\n")}
</table>
</td></tr></table>
</body></html>
`;
}

function row(html: string, style: string): string {
  return html === "" ? "" : `<tr><td style="${FONT};${style}">${html}</td></tr>`;
}

/** As many facts as the room allows; what is left out is counted. The strip is the last one. */
function factRows(message: Message): string[] {
  const rows: string[] = [];
  let left = FACTS_LIMIT;
  for (const [index, fact] of message.fields.entries()) {
    const html = factRow(fact);
    left -= bytes(html);
    if (left < 0) {
      rows.push(factRow({ label: "…", value: describeRest(message.fields.slice(index)) }));
      break;
    }
    rows.push(html);
  }
  const { strip } = message;
  if (strip !== null) rows.push(factRow({ label: stripLabel(strip), value: oneLine(strip).slice(0, 100) }));
  if (rows.length === 0) return [];
  return [
    `<tr><td style="padding:16px 24px 0"><table ${TABLE} width="100%">\n${
      rows.join("\n")
    }\n</table></td></tr>`,
  ];
}

function factRow({ label, value }: MessageField): string {
  const cell = `${FONT};padding:4px 12px 4px 0;font-size:14px;line-height:20px;vertical-align:top`;
  return `<tr><td width="150" style="${cell};color:#667085">${
    fit(oneLine(label), LIMITS.label)
  }</td><td style="${cell};color:#101828;word-break:break-word">${
    fit(clean(value).trim(), LIMITS.value)
  }</td></tr>`;
}

function excerptRows({ excerpt }: Message): string[] {
  const text = fit(clean(excerpt ?? "").trim(), LIMITS.excerpt);
  if (text === "") return [];
  const style =
    `${MONO};font-size:12px;line-height:18px;color:#101828;background-color:#f9fafb;border:1px solid #eaecf0;padding:12px;white-space:pre-wrap;word-break:break-word`;
  return [`<tr><td style="padding:16px 24px 0"><div style="${style}">${text}</div></td></tr>`];
}

function linkRows({ links }: Message, look: Appearance): string[] {
  const anchors = links.slice(0, LINKS).flatMap(({ label, url }) => {
    const href = httpsUrl(url, LINK_LIMIT);
    const shown = fit(oneLine(label), LIMITS.label) || "Link";
    const style =
      `${FONT};display:inline-block;margin:0 8px 8px 0;padding:8px 14px;font-size:14px;line-height:20px;color:#101828;text-decoration:none;border:1px solid ${
        htmlColour(look)
      }`;
    return href === null ? [] : [`<a href="${escape(href)}" style="${style}">${shown}</a>`];
  });
  return anchors.length === 0 ? [] : [`<tr><td style="padding:16px 24px 0">${anchors.join("\n")}</td></tr>`];
}

/** Cut so that it fits once it is escaped, then escaped, its line breaks kept. */
function fit(text: string, limit: number): string {
  return escape(cut(text, limit, (text) => bytes(escape(text)))).replaceAll("\n", "<br>");
}

function escape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll(
    '"',
    "&quot;",
  )
    .replaceAll("'", "&#39;");
}

function bytes(text: string): number {
  return new TextEncoder().encode(text).length;
}
