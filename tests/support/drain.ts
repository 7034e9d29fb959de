/** Batches as a Supabase log drain sends them. */

/** How {@link drainedEvents} makes events. */
export interface DrainedEventsOptions {
  count: number;
  /** Epoch milliseconds of the first; the others follow within two minutes. */
  from: number;
  /** Default: twenty of them. */
  slugs?: readonly string[];
}

/** Events of `function_edge_logs` with everything that they carry: some 1.5 kB each. Every tenth failed. */
export function drainedEvents({ count, from, slugs }: DrainedEventsOptions): Record<string, unknown>[] {
  const names = slugs ?? Array.from({ length: 20 }, (_, i) => `function-${i}`);
  return Array.from({ length: count }, (_, i) => {
    const slug = names[i % names.length] ?? "";
    const status = i % 10 === 9 ? 500 : 200;
    const url = `https://abcdefghijklmnopqrst.supabase.co/functions/v1/${slug}?page=${i}`;
    return {
      id: crypto.randomUUID(),
      timestamp: (from + (i % 120) * 1_000) * 1_000,
      event_message: `POST | ${status} | ${url}`,
      metadata: {
        deployment_id: `abcdefghijklmnopqrst_${slug}_12`,
        execution_id: crypto.randomUUID(),
        execution_time_ms: 20 + (i % 300),
        function_id: `id-of-${slug}`,
        project_ref: "abcdefghijklmnopqrst",
        version: "12",
        request: {
          headers: {
            accept: "*/*",
            content_length: "512",
            cookie: null,
            host: "abcdefghijklmnopqrst.supabase.co",
            user_agent:
              "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0",
            x_client_info: "supabase-js-web/2.119.0",
            x_forwarded_for: `203.0.113.${i % 250}`,
          },
          host: "abcdefghijklmnopqrst.supabase.co",
          method: "POST",
          pathname: `/functions/v1/${slug}`,
          port: null,
          protocol: "https:",
          sb: [{ apikey: [{ authorization: [], invalid: null, prefix: "sb_publishable_abcdef" }] }],
          search: `?page=${i}`,
          url,
        },
        response: {
          headers: {
            content_length: "128",
            content_type: "application/json",
            date: new Date(from).toUTCString(),
            server: "Deno/supabase-edge-runtime-1.70.0",
            vary: "Accept-Encoding",
            x_sb_compute_multiplier: null,
            x_sb_edge_region: "eu-central-1",
            x_served_by: "supabase-edge-runtime",
          },
          status_code: status,
        },
      },
    };
  });
}

/** Packs text as a drain does. */
export async function gzip(text: string): Promise<Uint8Array<ArrayBuffer>> {
  const packed = new Blob([text]).stream().pipeThrough(new CompressionStream("gzip"));
  return new Uint8Array(await new Response(packed).arrayBuffer());
}
