/** Mail by Resend. Limits and errors: Resend's API reference, "Send email", "Errors" and "Idempotency keys". */
import { z } from "zod";
import { reportMail } from "../rules/report_html.ts";
import { type Channel, plainOutcome, type VendorAnswer } from "./channel.ts";
import { mailbox, mailboxes, renderMail } from "./email.ts";

const target = z.object({
  apiKey: z.string({ error: "api_key is empty" }).regex(/^[\x21-\x7e]+$/, "api_key must look like re_…"),
  sender: mailbox,
  recipients: mailboxes,
});

export const resend: Channel<z.infer<typeof target>> = {
  name: "resend",
  api: { url: "https://api.resend.com", variable: "RESEND_API_URL" },
  // five requests a second for a whole team
  paceMs: 250,
  target,
  render(message) {
    const mail = renderMail(message);
    return { body: { ...mail }, plain: mail.text };
  },
  renderReport(report) {
    const mail = reportMail(report);
    return { body: { ...mail }, plain: mail.text };
  },
  async request(rendered, { apiKey, sender, recipients }, { deliveryId, apiUrl }) {
    const body = JSON.stringify({ from: sender, to: recipients, ...rendered.body });
    return {
      url: `${apiUrl.replace(/\/+$/, "")}/emails`,
      method: "POST",
      headers: {
        "authorization": `Bearer ${apiKey}`,
        "content-type": "application/json",
        "idempotency-key": `${deliveryId}/${await fingerprint(body)}`,
      },
      body,
    };
  },
  outcome(answer) {
    if (answer.kind !== "response") return plainOutcome("Resend", answer);
    const id = z.object({ id: z.string().min(1) }).safeParse(answer.json).data?.id;
    if (answer.status === 200 && id !== undefined) return { kind: "sent", providerId: id };
    const said = errorBody.safeParse(answer.json).data;
    const error = said === undefined ? undefined : `${said.message}${said.name ? ` (${said.name})` : ""}`;
    if (answer.status === 409 && said?.name === "concurrent_idempotent_requests") {
      return plainOutcome("Resend", asIfBusy(answer), {
        error: `${error}; the first attempt is still at work`,
      });
    }
    return plainOutcome("Resend", answer, { error, about: aboutAddress(said) ? "target" : undefined });
  },
};

/** Whether a refusal is about what a person wrote into the row: the key, the sender or the recipients. */
function aboutAddress(said: z.infer<typeof errorBody> | undefined): boolean {
  return /^(invalid_from_address|missing_api_key|restricted_api_key|invalid_api_key)$/.test(
    said?.name ?? "",
  ) ||
    /`(from|to)`|domain|testing emails/i.test(said?.message ?? "");
}

const errorBody = z.object({ message: z.string(), name: z.string().optional() });

/** The one 409 that passes by itself. */
function asIfBusy(answer: Extract<VendorAnswer, { kind: "response" }>): VendorAnswer {
  return { ...answer, status: 503 };
}

/**
 * A retry sends the same bytes under the same key. Once a person corrects the addresses the bytes are others, and
 * Resend would refuse the old key for good.
 */
async function fingerprint(body: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(body));
  return [...new Uint8Array(digest, 0, 8)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
