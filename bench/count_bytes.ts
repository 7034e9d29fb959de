/** A proxy on loopback that counts what comes back through it. */

/** A counted address. */
export interface CountedAddress {
  /** The given URL, by way of the proxy. */
  url: string;
  /** Bytes that the server has sent since the last call. */
  take(): number;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Puts a counter between a client and the server of a connection string. */
export function countBytes(databaseUrl: string): CountedAddress {
  const target = new URL(databaseUrl);
  const port = Number(target.port);
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  let received = 0;
  const pipes: Promise<unknown>[] = [];
  const accepting = (async () => {
    for await (const client of listener) {
      const server = await Deno.connect({ hostname: target.hostname, port });
      const counter = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
        transform(chunk, controller) {
          received += chunk.length;
          controller.enqueue(chunk);
        },
      });
      pipes.push(
        client.readable.pipeTo(server.writable).catch(() => {}),
        server.readable.pipeThrough(counter).pipeTo(client.writable).catch(() => {}),
      );
    }
  })();
  target.port = String(listener.addr.port);
  return {
    url: target.href,
    take: () => {
      const taken = received;
      received = 0;
      return taken;
    },
    [Symbol.asyncDispose]: async () => {
      listener.close();
      await accepting;
      await Promise.all(pipes);
    },
  };
}
