/** Mail by Postmark. Limits and errors: Postmark's developer documentation, "Email API" and "API error codes". */
import { z } from "zod";
import { reportMail } from "../rules/report_html.ts";
import type { RefusalSubject } from "../domain/delivery.ts";
import { type Channel, type Outcome, plainOutcome, type VendorAnswer } from "./channel.ts";
import { mailbox, mailboxes, renderMail } from "./email.ts";

/** Codes that pass by themselves: maintenance and rate limit. */
const MAINTENANCE = 100;
const RATE_LIMIT = 429;
const INACTIVE_RECIPIENT = 406;
/** An invalid mail, be it for its addresses or for what it says. */
const INVALID_MAIL = 300;
/** Codes about the body: JSON that cannot be read, attachments. */
const MESSAGE_CODES: ReadonlySet<number> = new Set([402, 403, 409, 410, 411]);

const target = z.object({
  apiKey: z.string({ error: "api_key is empty" }).regex(
    /^[\x21-\x7e]+$/,
    "api_key must be the server token of Postmark",
  ),
  sender: mailbox,
  recipients: mailboxes,
  messageStream: z.string().regex(/^[\w-]{1,64}$/, "message_stream must be letters, digits, - or _").default(
    "outbound",
  ),
});

export const postmark: Channel<z.infer<typeof target>> = {
  name: "postmark",
  api: { url: "https://api.postmarkapp.com", variable: "POSTMARK_API_URL" },
  paceMs: 100,
  target,
  render(message) {
    const { subject, html, text } = renderMail(message);
    return { body: { Subject: subject, HtmlBody: html, TextBody: text }, plain: text };
  },
  renderReport(report) {
    const { subject, html, text } = reportMail(report);
    return { body: { Subject: subject, HtmlBody: html, TextBody: text }, plain: text };
  },
  request(rendered, { apiKey, sender, recipients, messageStream }, { apiUrl }) {
    return {
      url: `${apiUrl.replace(/\/+$/, "")}/email`,
      method: "POST",
      headers: {
        "accept": "application/json",
        "content-type": "application/json",
        "x-postmark-server-token": apiKey,
      },
      body: JSON.stringify({
        From: sender,
        To: recipients.join(", "),
        MessageStream: messageStream,
        ...rendered.body,
      }),
    };
  },
  outcome(answer) {
    if (answer.kind !== "response") return plainOutcome("Postmark", answer);
    const said = answerBody.safeParse(answer.json).data;
    if (said === undefined) return plainOutcome("Postmark", answer);
    return said.ErrorCode === 0 && answer.status === 200 ? sent(said) : refused(said, answer);
  },
};

const answerBody = z.object({
  ErrorCode: z.number(),
  Message: z.string().default(""),
  MessageID: z.string().optional(),
});
type Said = z.infer<typeof answerBody>;

/** Postmark takes a mail of which some recipients are inactive, and says whom it leaves out. */
function sent({ Message: message, MessageID: id }: Said): Outcome {
  const note = /inactive/i.test(message) ? { note: `Postmark left somebody out: ${message}` } : {};
  return { kind: "sent", providerId: id ?? null, ...note };
}

function refused(
  { ErrorCode: code, Message: message }: Said,
  answer: Extract<VendorAnswer, { kind: "response" }>,
): Outcome {
  const error = `${message} (code ${code})`;
  if (code === MAINTENANCE) return plainOutcome("Postmark", { ...answer, status: 503 }, { error });
  if (code === RATE_LIMIT) return plainOutcome("Postmark", { ...answer, status: 429 }, { error });
  if (code === INACTIVE_RECIPIENT) {
    return {
      kind: "permanent",
      about: "target",
      error: `NOBODY GETS THESE MAILS: Postmark delivers to no inactive recipient. ${error}. ` +
        "Reactivate the address in Postmark, or change recipients in alert_config",
    };
  }
  const about = aboutOf(code, message);
  // a success that names a fault is none, and a retry would meet the same fault
  if (answer.status < 300 && code !== 0) {
    return { kind: "permanent", error: `Postmark refused: ${error}`, about };
  }
  return plainOutcome("Postmark", answer, { error, about });
}

/** Nearly all of Postmark's codes are about the server, the sender or the recipients. */
function aboutOf(code: number, message: string): RefusalSubject {
  if (code === INVALID_MAIL) {
    return /['"]?(From|To)['"]?\b|address|mailbox/i.test(message) ? "target" : "message";
  }
  return code === 0 || MESSAGE_CODES.has(code) ? "message" : "target";
}
