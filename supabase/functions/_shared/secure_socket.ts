/**
 * TLS for Postgres, verified. The driver upgrades its socket through `node:tls`, which hangs in the Deno that hosted
 * Supabase runs (fixed upstream in 2.4), so the upgrade is done here with Deno's own TLS and the driver is handed a
 * stream that is secure already.
 */
import { Duplex } from "node:stream";

/** Where to connect, and whom to trust. */
export interface SecureSocketOptions {
  host: string;
  port: number;
  /** PEM of a CA to trust besides the public ones; `null`: only those. */
  caCert: string | null;
  timeoutMs: number;
}

/** Why no secure connection came about; `code` is what a driver of Node would have said. */
export class SocketError extends Error {
  constructor(readonly code: string, message: string) {
    super(message);
    this.name = "SocketError";
  }
}

/** Postgres' SSLRequest: length 8, code 80877103. */
const SSL_REQUEST = new Uint8Array([0, 0, 0, 8, 4, 210, 22, 47]);
const WILLING = "S".charCodeAt(0);

/**
 * Connects, asks Postgres for TLS and verifies certificate and host name.
 *
 * @throws {SocketError} `ECONNREFUSED`, `ENOTFOUND`, `CONNECT_TIMEOUT`, `TLS_REFUSED` or `TLS_UNTRUSTED`.
 */
export async function secureSocket(options: SecureSocketOptions): Promise<Duplex> {
  let open: Deno.Conn | null = null;
  const connecting = (async () => {
    const plain = await Deno.connect({ hostname: options.host, port: options.port });
    open = plain;
    await requestTls(plain);
    const caCerts = options.caCert === null ? [] : [options.caCert];
    const secure = await Deno.startTls(plain, { hostname: options.host, caCerts });
    open = secure;
    await secure.handshake();
    return secure;
  })();
  try {
    return streamOf(await within(options.timeoutMs, connecting));
  } catch (error) {
    close(open);
    // an attempt that outlives its time must not stay open
    connecting.then(close, () => {});
    throw explain(error);
  }
}

async function requestTls(connection: Deno.TcpConn): Promise<void> {
  await connection.write(SSL_REQUEST);
  const answer = new Uint8Array(1);
  await connection.read(answer);
  if (answer[0] !== WILLING) throw new SocketError("TLS_REFUSED", "The server does not offer TLS");
}

async function within<T>(timeoutMs: number, work: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new SocketError("CONNECT_TIMEOUT", "No answer in time")), timeoutMs);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

function explain(error: unknown): SocketError {
  if (error instanceof SocketError) return error;
  if (error instanceof Deno.errors.ConnectionRefused) {
    return new SocketError("ECONNREFUSED", "Connection refused");
  }
  const text = error instanceof Error ? error.message : "";
  if (/certificate|UnknownIssuer|NotValidForName/i.test(text)) {
    return new SocketError("TLS_UNTRUSTED", "The server's certificate is not trusted");
  }
  if (/lookup|resolve|not known|No address/i.test(text)) {
    return new SocketError("ENOTFOUND", "The host does not resolve");
  }
  return new SocketError("ECONNRESET", "The connection broke");
}

function close(connection: Deno.Conn | null): void {
  try {
    connection?.close();
  } catch {
    // closed already, which is all that was wanted
  }
}

/** The connection as the stream that the driver reads and writes. */
function streamOf(connection: Deno.TlsConn): Duplex {
  const buffer = new Uint8Array(64 * 1024);
  const stream: Duplex = new Duplex({
    read() {
      connection.read(buffer).then(
        (count) => void stream.push(count === null ? null : buffer.slice(0, count)),
        (error) => void (stream.destroyed || stream.destroy(error)),
      );
    },
    write(chunk: Uint8Array, _encoding, done) {
      writeAll(connection, chunk).then(() => done(), done);
    },
    // the driver says goodbye with its last bytes and then waits for the stream to close
    final(done) {
      done();
      stream.destroy();
    },
    destroy(error, done) {
      close(connection);
      done(error);
    },
  });
  // the one thing of a socket that the driver asks for and a stream does not have
  return Object.defineProperty(stream, "readyState", { get: () => stream.destroyed ? "closed" : "open" });
}

async function writeAll(connection: Deno.TlsConn, bytes: Uint8Array): Promise<void> {
  for (let sent = 0; sent < bytes.length;) sent += await connection.write(bytes.subarray(sent));
}
