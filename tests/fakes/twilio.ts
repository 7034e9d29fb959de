/** A strict Twilio: creates messages, with its error codes and the magic numbers of its test credentials. */
import type { Verdict } from "./verdict.ts";

/** The one account that exists, and the number that it owns. */
export interface TwilioAccount {
  sid: string;
  authToken: string;
  number: string;
  messagingService: string;
}

const BODY_LIMIT = 1_600;
/** What Twilio answers for these numbers as recipients. */
const MAGIC: Readonly<Record<string, readonly [code: number, message: string]>> = {
  "+15005550001": [21211, "The 'To' number +15005550001 is not a valid phone number."],
  "+15005550002": [
    21612,
    "The 'To' phone number: +15005550002, is not currently reachable using the 'From' phone number",
  ],
  "+15005550003": [
    21408,
    "Permission to send an SMS has not been enabled for the region indicated by the 'To' number: +15005550003.",
  ],
  "+15005550004": [21610, "Attempt to send to unsubscribed recipient"],
  "+15005550009": [21614, "'To' number: +15005550009, is not a valid mobile number"],
};
/** The default alphabet of GSM 03.38, and its extension. */
const GSM = /^[@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !"#¤%&'()*+,\-./0-9:;<=>?¡A-ZÄÖÑÜ§¿a-zäöñüà^{}\\[~\]|€]*$/;
const GSM_EXTENSION = /[\^{}\\[~\]|€]/g;

export function createTwilio(account: TwilioAccount) {
  return function create(url: URL, raw: string, headers: Headers): Verdict {
    const [, sid] = /^\/2010-04-01\/Accounts\/([^/]+)\/Messages\.json$/.exec(url.pathname) ?? [];
    if (sid === undefined) return refusal(404, 20404, "The requested resource was not found");
    if (headers.get("authorization") !== `Basic ${btoa(`${account.sid}:${account.authToken}`)}`) {
      return refusal(401, 20003, "Authenticate");
    }
    if (sid !== account.sid) return refusal(404, 20404, "The requested resource was not found");
    const form = headers.get("content-type")?.startsWith("application/x-www-form-urlencoded")
      ? new URLSearchParams(raw)
      : new URLSearchParams();
    return faultOf(form, account) ?? created(form, account);
  };
}

function refusal(status: number, code: number, message: string): Verdict {
  const body = { code, message, more_info: `https://www.twilio.com/docs/errors/${code}`, status };
  return { accepted: false, text: null, status, body };
}

function faultOf(form: URLSearchParams, account: TwilioAccount): Verdict | null {
  const to = form.get("To") ?? "";
  const body = form.get("Body") ?? "";
  const from = form.get("From");
  const service = form.get("MessagingServiceSid");
  if (to === "") return refusal(400, 21604, "A 'To' phone number is required.");
  if (body.trim() === "") return refusal(400, 21602, "Message body is required.");
  if (body.length > BODY_LIMIT) {
    return refusal(400, 21617, "The concatenated message body exceeds the 1600 character limit");
  }
  if (from === null && service === null) return refusal(400, 21603, "A 'From' phone number is required.");
  if (service !== null && service !== account.messagingService) {
    return refusal(404, 21701, "The Messaging Service Sid does not exist");
  }
  if (from !== null && from !== account.number) {
    return refusal(
      400,
      21606,
      `The 'From' phone number ${from} is not a valid, SMS-capable inbound phone number.`,
    );
  }
  if (!/^\+[1-9]\d{6,14}$/.test(to)) {
    return refusal(400, 21211, `The 'To' number ${to} is not a valid phone number.`);
  }
  const magic = MAGIC[to];
  return magic === undefined ? null : refusal(400, magic[0], magic[1]);
}

function created(form: URLSearchParams, account: TwilioAccount): Verdict {
  const body = form.get("Body") ?? "";
  const message = {
    sid: `SM${crypto.randomUUID().replaceAll("-", "")}`,
    account_sid: account.sid,
    to: form.get("To"),
    body,
    status: "queued",
    num_segments: String(segmentsOf(body)),
    error_code: null,
  };
  return { accepted: true, text: `${form.get("To")}\n${body}`, status: 201, body: message };
}

/** SMS that a text takes: 160 septets of GSM-7, or 70 letters of UCS-2; fewer each where there are several. */
export function segmentsOf(text: string): number {
  const [size, one, many] = GSM.test(text)
    ? [text.length + (text.match(GSM_EXTENSION)?.length ?? 0), 160, 153]
    : [text.length, 70, 67];
  return size <= one ? 1 : Math.ceil(size / many);
}
