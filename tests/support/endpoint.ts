/** An HTTP endpoint on loopback that answers as a test says, and one that never does. */

/**
 * `host:port` at which a connection is refused: port 2 is nobody's service. One that was free a moment ago may be
 * another test's by now.
 */
export const REFUSING_HOST = "127.0.0.1:2";

/** The running endpoint. */
export interface Endpoint extends AsyncDisposable {
  url: string;
  /** `host:port`. */
  host: string;
  /** How it answers from now on. Default: 200, "fine". */
  answer(handler: (request: Request) => Response | Promise<Response>): void;
}

/** Starts it on a free port. Its end does not wait for requests that hang. */
export function startEndpoint(): Endpoint {
  let handler = (_request: Request): Response | Promise<Response> => new Response("fine");
  const ending = new AbortController();
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {}, signal: ending.signal },
    (request) => handler(request),
  );
  const host = `127.0.0.1:${server.addr.port}`;
  return {
    url: `http://${host}`,
    host,
    answer: (next) => void (handler = next),
    [Symbol.asyncDispose]: async () => {
      ending.abort();
      await server.finished;
    },
  };
}
