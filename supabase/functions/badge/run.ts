/** From the id in a URL to a picture. */
import type { BadgeFacts } from "../_shared/domain/status.ts";
import type { Clock } from "../_shared/clock.ts";
import { failureFields, type Log } from "../_shared/log.ts";
import { badgeSvg, badgeWord } from "../_shared/rules/badge.ts";

/** What drawing a badge needs of the world. */
export interface BadgeDeps {
  /** What the badge of that id shows; `null` where there is none. */
  read(id: string): Promise<BadgeFacts | null>;
  clock: Clock;
  log: Log;
}

/** Seconds for which pages and image proxies may keep a badge. */
const MAX_AGE_SECONDS = 60;

/** Answers a badge. Never throws, and tells nothing of ids that it does not know. */
export async function answerBadge(request: Request, { read, clock, log }: BadgeDeps): Promise<Response> {
  if (request.method !== "GET" && request.method !== "HEAD") {
    return plain(request, 405, "use GET", { allow: "GET, HEAD" });
  }
  const id = /\/badge\/([0-9a-f]{32})\.svg$/.exec(new URL(request.url).pathname)?.[1];
  if (id === undefined) return plain(request, 404, "not found");
  try {
    const facts = await read(id);
    if (facts === null) return plain(request, 404, "not found");
    const svg = badgeSvg(facts.label, badgeWord(facts, clock().getTime()));
    return new Response(request.method === "HEAD" ? null : svg, {
      headers: {
        "content-type": "image/svg+xml; charset=utf-8",
        "cache-control": `public, max-age=${MAX_AGE_SECONDS}`,
        // a picture, whoever opens it as a page
        "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'",
        "x-content-type-options": "nosniff",
      },
    });
  } catch (error) {
    log.error("badge not drawn", failureFields(error));
    return plain(request, 503, "try again", { "retry-after": "10" });
  }
}

function plain(
  request: Request,
  status: number,
  text: string,
  headers: Readonly<Record<string, string>> = {},
): Response {
  return new Response(request.method === "HEAD" ? null : text, {
    status,
    headers: { "content-type": "text/plain; charset=utf-8", "cache-control": "no-store", ...headers },
  });
}
