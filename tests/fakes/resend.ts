/** A strict Resend: `POST /emails`, with its limits, its error bodies and its memory of idempotency keys. */
import { MailHtmlError, readMailHtml } from "./mail_html.ts";
import type { Verdict } from "./verdict.ts";

/** The one key that exists, and the domain that it may send from. */
export interface ResendAccount {
  apiKey: string;
  domain: string;
}

/** Requests of a team in {@link RATE_WINDOW_MS}. */
const RATE_LIMIT = 5;
const RATE_WINDOW_MS = 1_000;
const RECIPIENT_LIMIT = 50;
const SIZE_LIMIT = 40 * 1024 * 1024;
const KEY_LIFE_MS = 24 * 3_600_000;
/** Gmail shows no more of a mail's HTML. */
const GMAIL_LIMIT = 102_000;

type Json = Record<string, unknown>;

/** A team's own memory of when it called, and with which keys. */
export function createResend(account: ResendAccount, now: () => number) {
  let calls: number[] = [];
  const keys = new Map<string, { raw: string; id: string; at: number }>();
  return function send(url: URL, raw: string, headers: Headers): Verdict {
    if (url.pathname !== "/emails") {
      return refusal(404, "not_found", "The requested endpoint does not exist.");
    }
    const authorization = headers.get("authorization");
    if (authorization === null) {
      return refusal(401, "missing_api_key", "Missing API key in the authorization header.");
    }
    if (authorization !== `Bearer ${account.apiKey}`) {
      return refusal(403, "invalid_api_key", "API key is invalid");
    }
    const at = now();
    calls = calls.filter((call) => at - call < RATE_WINDOW_MS);
    if (calls.length >= RATE_LIMIT) return rateLimited();
    calls.push(at);
    const fault = keyFault(headers.get("idempotency-key"));
    if (fault !== null) return fault;
    const key = headers.get("idempotency-key") ?? "";
    const known = keys.get(key);
    if (known !== undefined && at - known.at < KEY_LIFE_MS) return replay(known, raw);
    const mail = parseObject(raw);
    const refused = mail === null || raw.length > SIZE_LIMIT
      ? refusal(422, "validation_error", "The request body is invalid.")
      : faultOf(mail, account.domain);
    if (refused !== null || mail === null) return refused as Verdict;
    const id = crypto.randomUUID();
    keys.set(key, { raw, id, at });
    return { accepted: true, text: readMail(mail), status: 200, body: { id } };
  };
}

function refusal(status: number, name: string, message: string): Verdict {
  return { accepted: false, text: null, status, body: { statusCode: status, name, message } };
}

function rateLimited(): Verdict {
  const message = "Too many requests. You can only make 5 requests per second.";
  return {
    ...refusal(429, "rate_limit_exceeded", message),
    headers: { "retry-after": "1", "ratelimit-limit": String(RATE_LIMIT), "ratelimit-remaining": "0" },
  };
}

function keyFault(key: string | null): Verdict | null {
  if (key === null) return refusal(400, "invalid_idempotency_key", "This fake wants a key with every mail.");
  return key.length >= 1 && key.length <= 256
    ? null
    : refusal(400, "invalid_idempotency_key", "The key must be between 1-256 chars.");
}

/** The same request again is answered as before, and nothing is sent; another one under its key is refused. */
function replay(known: { raw: string; id: string }, raw: string): Verdict {
  if (known.raw === raw) return { accepted: false, text: null, status: 200, body: { id: known.id } };
  const message = "This idempotency key has already been used on a request that had a different payload.";
  return refusal(409, "invalid_idempotent_request", message);
}

function faultOf(mail: Json, domain: string): Verdict | null {
  for (const name of ["from", "to", "subject"]) {
    if (mail[name] === undefined) return refusal(422, "missing_required_field", `Missing \`${name}\` field.`);
  }
  const invalid = (message: string) => refusal(422, "validation_error", message);
  const { from, to, subject, html, text } = mail;
  const sender = addressOf(from);
  if (sender === null) return invalid("Invalid `from` field. The email address needs to follow the format.");
  if (!sender.endsWith(`@${domain}`)) {
    return refusal(403, "validation_error", `The ${sender.split("@")[1]} domain is not verified.`);
  }
  const recipients = Array.isArray(to) ? to : [to];
  if (recipients.length === 0 || recipients.length > RECIPIENT_LIMIT) {
    return invalid("The `to` field must have 1 to 50 addresses.");
  }
  if (recipients.some((one) => addressOf(one) === null)) return invalid("Invalid `to` field.");
  if (!isHeader(subject)) return invalid("The `subject` may not hold line breaks or control characters.");
  if (typeof text !== "string" || text.trim() === "") return invalid("Missing `text`.");
  if (typeof html !== "string" || new TextEncoder().encode(html).length > GMAIL_LIMIT) {
    return invalid("`html` is missing, or longer than Gmail shows.");
  }
  return htmlFault(html, invalid);
}

function htmlFault(html: string, invalid: (message: string) => Verdict): Verdict | null {
  try {
    readMailHtml(html);
    return null;
  } catch (error) {
    if (!(error instanceof MailHtmlError)) throw error;
    return invalid(`Invalid \`html\`: ${error.message}`);
  }
}

function readMail({ subject, html }: Json): string {
  return `${subject}\n\n${readMailHtml(String(html))}`;
}

/** The address in `Name <a@b>` or `a@b`; `null` where a mail server would not take it. */
export function addressOf(value: unknown): string | null {
  if (typeof value !== "string" || !isHeader(value)) return null;
  const name = `(?:"(?:[^"\\\\]|\\\\.)*"|[^"<>,;:@()\\[\\]\\\\.]+)`;
  const address = `[^\\s@<>,;:()"]+@[^\\s@<>,;:()"]+`;
  const [, bracketed, bare] = new RegExp(`^(?:${name} <(${address})>|(${address}))$`).exec(value) ?? [];
  return bracketed ?? bare ?? null;
}

// deno-lint-ignore no-control-regex
const CONTROL = /[\u0000-\u001f\u007f]/;

/** Whether a text can be a mail's header: something, on one line, and not too long. */
export function isHeader(value: unknown): boolean {
  return typeof value === "string" && value !== "" && value.length <= 998 && !CONTROL.test(value);
}

function parseObject(raw: string): Json | null {
  try {
    const value = JSON.parse(raw);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}
