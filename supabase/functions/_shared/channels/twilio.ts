/** SMS by Twilio, a request a recipient. Limits and errors: Twilio's "Messages resource" and error dictionary. */
import { z } from "zod";
import type { Message } from "../domain/delivery.ts";
import { ALL_INCIDENTS, renderPlain } from "../rules/message.ts";
import { oneLine, sentence } from "../rules/text.ts";
import { type Channel, type Outcome, plainOutcome } from "./channel.ts";

/** Septets of one SMS in GSM-7. A longer one costs several, and arrives in pieces on some phones. */
const SMS_LIMIT = 160;
/** Enough for any title, and for a word of the cause. */
const TITLE_LIMIT = 110;
/** Every recipient costs money for every alert. */
const RECIPIENT_LIMIT = 10;
/** Codes of refusals that are about one recipient: no number, no mobile, no route, no permission, unsubscribed. */
const RECIPIENT_CODES = new Set([
  21211,
  21214,
  21217,
  21265,
  21408,
  21610,
  21612,
  21614,
  30003,
  30005,
  30006,
]);
/** Codes of a 400 about the account or the sender: no message gets past them. */
const TARGET_CODES: ReadonlySet<number> = new Set([
  20003,
  20005,
  20404,
  21212,
  21603,
  21606,
  21607,
  21659,
  21660,
  21661,
  21701,
  21703,
  21704,
  21705,
  21910,
]);
/** Too many requests, and a queue that is full: refused now, taken later. */
const BUSY_CODES = new Set([20429, 21611, 14107]);

const number = /^\+[1-9]\d{6,14}$/;

const target = z.object({
  account: z.string({ error: "account is empty" }).regex(/^AC[0-9a-fA-F]{32}$/, "account must look like AC…"),
  apiKey: z.string({ error: "api_key is empty" }).regex(
    /^[\x21-\x7e]+$/,
    "api_key must be the auth token of Twilio",
  ),
  sender: z.string({ error: "sender is empty" }).transform(withoutGaps).refine(
    (text) =>
      number.test(text) || /^(MG[0-9a-fA-F]{32}|\d{3,8}|(?=.*[A-Za-z])[A-Za-z0-9 ]{1,11})$/.test(text),
    "sender must be a number such as +15551234567, a sender name or a messaging service (MG…)",
  ),
  recipients: z.string({ error: "recipients is empty" })
    .transform((text) => [...new Set(text.split(/[,;\n]/).map(withoutGaps).filter((one) => one !== ""))])
    .refine(
      (list) => list.length > 0 && list.length <= RECIPIENT_LIMIT && list.every((one) => number.test(one)),
      `recipients must be up to ${RECIPIENT_LIMIT} numbers such as +15551234567, comma separated`,
    ),
});

export const twilio: Channel<z.infer<typeof target>> = {
  name: "twilio",
  api: { url: "https://api.twilio.com", variable: "TWILIO_API_URL" },
  // one SMS a second from one number
  paceMs: 1_050,
  // nobody can take an SMS back, and each one costs
  unansweredLimit: 2,
  target,
  render: (message) => ({ body: { Body: textOf(message) }, plain: renderPlain(message) }),
  parts: (_rendered, { recipients }) =>
    recipients.map((recipient) => ({ id: recipient, label: `the number ending in ${recipient.slice(-4)}` })),
  request(rendered, { account, apiKey, sender, recipients }, { apiUrl, part }) {
    const from = /^MG[0-9a-fA-F]{32}$/.test(sender) ? "MessagingServiceSid" : "From";
    return {
      url: `${apiUrl.replace(/\/+$/, "")}/2010-04-01/Accounts/${account}/Messages.json`,
      method: "POST",
      headers: {
        "authorization": `Basic ${btoa(`${account}:${apiKey}`)}`,
        "content-type": "application/x-www-form-urlencoded",
      },
      body: new URLSearchParams({
        To: part ?? recipients[0] ?? "",
        [from]: sender,
        Body: String(rendered.body.Body),
      }).toString(),
    };
  },
  outcome(answer) {
    if (answer.kind !== "response") {
      const outcome = plainOutcome("Twilio", answer);
      return answer.kind === "network" && answer.unsent === true ? outcome : unanswered(outcome);
    }
    const sid = z.object({ sid: z.string().min(1) }).safeParse(answer.json).data?.sid;
    if (answer.status === 201 && sid !== undefined) return { kind: "sent", providerId: sid };
    const said = errorBody.safeParse(answer.json).data;
    const error = said === undefined
      ? undefined
      : `${said.message}${said.code === undefined ? "" : ` (code ${said.code})`}`;
    if (BUSY_CODES.has(said?.code ?? 0)) return plainOutcome("Twilio", { ...answer, status: 429 }, { error });
    const about = TARGET_CODES.has(said?.code ?? 0) ? "target" : undefined;
    const outcome = plainOutcome("Twilio", answer, { error, about });
    if (outcome.kind === "permanent" && RECIPIENT_CODES.has(said?.code ?? 0)) {
      return { ...outcome, about: "target", partOnly: true };
    }
    // a success that shows no message, and a gateway that stopped waiting, say nothing of what Twilio did
    return answer.status < 300 || answer.status === 504 ? unanswered(outcome) : outcome;
  },
};

const errorBody = z.object({ message: z.string(), code: z.number().optional() });

function unanswered(outcome: Outcome): Outcome {
  return outcome.kind === "retry" ? { ...outcome, unanswered: true } : outcome;
}

function withoutGaps(text: string): string {
  const line = oneLine(text);
  return /[A-Za-z]/.test(line) ? line : line.replace(/[\s().-]/g, "");
}

/** Verdict, cause and the incident's first letters in one SMS. */
function textOf(message: Message): string {
  const title = fit(message.title, TITLE_LIMIT) || "ALERT";
  const [id = ""] = message.incidentIds;
  const reference = /^[0-9a-f]{8}-/.test(id) ? ` #${id.slice(0, 8)}` : "";
  const room = SMS_LIMIT - septets(`${title}. `) - septets(reference);
  const words = message.incidentIds.length > 1 ? namesOf(message, room) : message.cause;
  const cause = room < 20 ? "" : fit(words, room);
  return `${cause === "" ? title : `${title}${/[.!?]$/.test(title) ? "" : "."} ${cause}`}${reference}`;
}

/** Of many, which, where there is room for all of their names. */
function namesOf({ fields, incidentIds }: Message, room: number): string {
  const names = fields.filter(({ incidents }) => incidents === 1).map(({ label }) => oneLine(label)).join(
    ", ",
  );
  const all = fields.filter(({ incidents }) => incidents === 1).length === incidentIds.length;
  return all && septets(toAscii(names)) <= room ? names : sentence(ALL_INCIDENTS);
}

function fit(text: string, limit: number): string {
  const ascii = toAscii(oneLine(text.slice(0, 2_000)));
  // the sign that `cut` puts in front of what it dropped is not in GSM-7, and its count would take the room
  const whole = septets(ascii) <= limit;
  return whole ? ascii : `${cutShort(ascii, limit - 3)}...`;
}

function cutShort(ascii: string, limit: number): string {
  let size = 0;
  let end = 0;
  for (const sign of ascii) {
    size += septets(sign);
    if (size > limit) break;
    end += sign.length;
  }
  return ascii.slice(0, end).trimEnd();
}

/** Signs of ASCII that take two septets. */
const TWO_SEPTETS = /[[\]{}~^\\|]/g;

function septets(ascii: string): number {
  return ascii.length + (ascii.match(TWO_SEPTETS)?.length ?? 0);
}

/** What has no letters without marks to fall apart into. */
const REPLACEMENTS: Readonly<Record<string, string>> = {
  "ß": "ss",
  "æ": "ae",
  "Æ": "AE",
  "ø": "o",
  "Ø": "O",
  "œ": "oe",
  "Œ": "OE",
  "đ": "d",
  "Đ": "D",
  "ł": "l",
  "Ł": "L",
  "þ": "th",
  "Þ": "Th",
  "ı": "i",
  "·": "-",
  "•": "-",
  "–": "-",
  "—": "-",
  "−": "-",
  "‘": "'",
  "’": "'",
  "‚": "'",
  "“": '"',
  "”": '"',
  "„": '"',
  "«": '"',
  "»": '"',
  "…": "...",
  "×": "x",
  "→": "->",
  "€": "EUR",
  "£": "GBP",
  // the one sign of ASCII that GSM-7 does not have
  "`": "'",
};

/** ASCII that reads alike; one other letter makes the whole SMS UCS-2, of 70 letters. What cannot be written is `?`. */
function toAscii(text: string): string {
  return [...text].map((sign) => REPLACEMENTS[sign] ?? sign).join("")
    .normalize("NFKD")
    .replace(/\p{M}/gu, "")
    .replace(/[^\x20-\x5f\x61-\x7e]+/g, "?")
    .replace(/\?{2,}/g, "?");
}
