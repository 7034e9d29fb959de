/** Bytes of a stream, bounded: also what unpacks to far more than was sent. */

/** Reads a stream to its end; `null` where it has more bytes than `limit`. */
export async function readStream(
  stream: ReadableStream<Uint8Array> | null,
  limit: number,
): Promise<Uint8Array | null> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of stream ?? []) {
    size += chunk.length;
    if (size > limit) return null;
    chunks.push(chunk);
  }
  const whole = new Uint8Array(size);
  let offset = 0;
  for (const chunk of chunks) {
    whole.set(chunk, offset);
    offset += chunk.length;
  }
  return whole;
}

/** Whether bytes are gzip, by their first two: a proxy may have unpacked what a header still calls packed. */
export function isGzip(bytes: Uint8Array): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b;
}

/**
 * Unpacks gzip; `null` where it unpacks to more than `limit` bytes, of which no more than that are ever held.
 *
 * @throws {TypeError} where it is not gzip or cut off.
 */
export async function unpack(bytes: Uint8Array, limit: number): Promise<Uint8Array | null> {
  const packed = new Blob([bytes as BlobPart]).stream() as ReadableStream<BufferSource>;
  return await readStream(
    packed.pipeThrough(new DecompressionStream("gzip")) as ReadableStream<Uint8Array>,
    limit,
  );
}
