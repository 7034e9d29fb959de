/** A strict Postmark: `POST /email`, with its limits and error codes. */
import { MailHtmlError, readMailHtml } from "./mail_html.ts";
import { addressOf, isHeader } from "./resend.ts";
import type { Verdict } from "./verdict.ts";

/** The one server that exists, the domain that it may send from, and its streams. */
export interface PostmarkServer {
  token: string;
  domain: string;
  streams: readonly string[];
}

const RECIPIENT_LIMIT = 50;
/** Bytes of each body, and of the whole. */
const BODY_LIMIT = 5 * 1024 * 1024;
const SIZE_LIMIT = 10 * 1024 * 1024;
const SUBJECT_LIMIT = 2_000;
const GMAIL_LIMIT = 102_000;

type Json = Record<string, unknown>;

/** Recipients whose name begins so have bounced before. */
const INACTIVE = /^inactive/;

export function createPostmark(server: PostmarkServer, now: () => number) {
  return function send(url: URL, raw: string, headers: Headers): Verdict {
    if (url.pathname !== "/email") return refusal(404, 404, "Not found.");
    if (headers.get("x-postmark-server-token") !== server.token) {
      return refusal(401, 10, "Request does not contain a valid Server token.");
    }
    if (!headers.get("content-type")?.startsWith("application/json")) {
      return refusal(415, 415, "Incorrect 'Content-Type' header.");
    }
    if (raw.length > SIZE_LIMIT) return refusal(413, 300, "Message is larger than 10 MB.");
    const mail = parseObject(raw);
    if (mail === null) return refusal(422, 402, "Invalid JSON.");
    const fault = faultOf(mail, server);
    if (fault !== null) return fault;
    const inactive = recipientsOf(mail).filter((one) => INACTIVE.test(addressOf(one) ?? ""));
    const list = inactive.join(", ");
    if (inactive.length === recipientsOf(mail).length) {
      return refusal(
        422,
        406,
        `You tried to send to recipient(s) that have been marked as inactive. Found inactive addresses: ${list}. Inactive recipients are ones that have generated a hard bounce, a spam complaint, or a manual suppression.`,
      );
    }
    const message = inactive.length === 0
      ? "OK"
      : `Message OK, but will not deliver to these inactive addresses: ${list}.`;
    const body = {
      To: mail.To,
      SubmittedAt: new Date(now()).toISOString(),
      MessageID: crypto.randomUUID(),
      ErrorCode: 0,
      Message: message,
    };
    return {
      accepted: true,
      text: `${mail.Subject}\n\n${readMailHtml(String(mail.HtmlBody))}`,
      status: 200,
      body,
    };
  };
}

function refusal(status: number, code: number, message: string): Verdict {
  return { accepted: false, text: null, status, body: { ErrorCode: code, Message: message } };
}

function faultOf(mail: Json, server: PostmarkServer): Verdict | null {
  const invalid = (message: string) => refusal(422, 300, message);
  const { From: from, Subject: subject, TextBody: text, HtmlBody: html, MessageStream: stream } = mail;
  const sender = addressOf(from);
  if (sender === null) return invalid(`Invalid 'From' address: '${from}'.`);
  if (!sender.endsWith(`@${server.domain}`)) {
    return refusal(
      422,
      400,
      `The 'From' address you supplied (${from}) is not a Sender Signature on your account.`,
    );
  }
  const recipients = recipientsOf(mail);
  if (recipients.length === 0) return invalid("Zero recipients specified");
  if (recipients.length > RECIPIENT_LIMIT) return invalid("Too many recipients. Limit is 50.");
  const wrong = recipients.find((one) => addressOf(one) === null);
  if (wrong !== undefined) return invalid(`Error parsing 'To': Illegal email address '${wrong}'.`);
  if (!isHeader(subject) || String(subject).length > SUBJECT_LIMIT) return invalid("Invalid 'Subject'.");
  if (typeof text !== "string" || text.trim() === "" || text.length > BODY_LIMIT) {
    return invalid("Invalid 'TextBody'.");
  }
  if (typeof html !== "string" || new TextEncoder().encode(html).length > GMAIL_LIMIT) {
    return invalid("'HtmlBody' is missing, or longer than Gmail shows.");
  }
  if (typeof stream !== "string" || !server.streams.includes(stream)) {
    return refusal(422, 1235, `The 'MessageStream' provided does not exist on this server.`);
  }
  try {
    readMailHtml(html);
    return null;
  } catch (error) {
    if (!(error instanceof MailHtmlError)) throw error;
    return invalid(`Invalid 'HtmlBody': ${error.message}`);
  }
}

/** Commas within quotes are part of a name. */
function recipientsOf({ To: to }: Json): string[] {
  const parts = typeof to === "string" ? to.match(/(?:"(?:[^"\\]|\\.)*"|[^",])+/g) ?? [] : [];
  return parts.map((part) => part.trim()).filter((part) => part !== "");
}

function parseObject(raw: string): Json | null {
  try {
    const value = JSON.parse(raw);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}
