/** Whether a vendor's webhook comes from that vendor; compared in constant time. */

const encoder = new TextEncoder();

/** Secrets that a person wrote into one function secret: several while one replaces another. */
export function secretsIn(text: string | undefined): string[] {
  return (text ?? "").split(/[\s,]+/).filter((secret) => secret !== "");
}

/** Whether what was sent is one of the secrets. Without a secret nothing is. */
export async function isSecret(given: string | null, secrets: readonly string[]): Promise<boolean> {
  const sent = await digestOf(encoder.encode(given ?? ""));
  const known = await Promise.all(secrets.map((secret) => digestOf(encoder.encode(secret))));
  return given !== null && countEqual(sent, known) > 0;
}

/**
 * Whether one of the signatures `v1=<hex>`, comma separated, is the body's HMAC-SHA256 under one of the secrets.
 * Source: PagerDuty's "Verifying Signatures".
 */
export async function isSigned(
  header: string | null,
  body: BufferSource,
  secrets: readonly string[],
): Promise<boolean> {
  // more than any rotation has is work for nothing
  const given = (header ?? "").split(",").slice(0, 10).flatMap((part) => {
    const hex = /^v1=([0-9a-f]{64})$/i.exec(part.trim())?.[1];
    return hex === undefined ? [] : [bytesOf(hex)];
  });
  const expected = await Promise.all(secrets.map((secret) => hmacOf(secret, body)));
  return given.reduce((matches, signature) => matches + countEqual(signature, expected), 0) > 0;
}

async function digestOf(bytes: BufferSource): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
}

async function hmacOf(secret: string, body: BufferSource): Promise<Uint8Array> {
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", encoder.encode(secret), algorithm, false, ["sign"]);
  return new Uint8Array(await crypto.subtle.sign("HMAC", key, body));
}

function bytesOf(hex: string): Uint8Array {
  return Uint8Array.from(hex.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

/** How many are the same; takes as long whatever they hold. */
function countEqual(bytes: Uint8Array, others: readonly Uint8Array[]): number {
  let equal = 0;
  for (const other of others) {
    let difference = bytes.length ^ other.length;
    for (const [index, byte] of bytes.entries()) difference |= byte ^ (other[index] ?? 0);
    equal += difference === 0 ? 1 : 0;
  }
  return equal;
}
