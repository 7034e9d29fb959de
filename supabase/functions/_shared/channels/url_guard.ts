/** Keeps alerts from being sent into our own network: targets are typed by people into a table. */
import { AppError } from "../errors.ts";

/** Networks that are not the public internet (IANA special-purpose registries), as `[first address, prefix length]`. */
const PRIVATE_V4: readonly [string, number][] = [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.0.2.0", 24],
  ["192.88.99.0", 24],
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
  ["198.51.100.0", 24],
  ["203.0.113.0", 24],
  ["224.0.0.0", 3],
];

/** Names that resolvers and clouds keep for inner hosts. */
const PRIVATE_SUFFIXES = ["localhost", "local", "internal", "intranet", "lan", "home.arpa", "corp", "home"];

/**
 * The URL, if alerts may be sent to it: https to a public host, or anything to a `host:port` that the configuration
 * allows. It looks at the name, not at what the name resolves to.
 *
 * @throws {AppError} `url_refused`, naming the host only: path and query may be secret.
 */
export function guardUrl(text: string, allowedHosts: readonly string[]): URL {
  if (!URL.canParse(text)) throw refusal("the URL", "it is not a URL");
  const url = new URL(text);
  const port = url.port || (url.protocol === "http:" ? "80" : "443");
  const host = `host "${url.hostname}"`;
  if (url.username !== "" || url.password !== "") {
    throw refusal(host, "the URL holds a user name or password");
  }
  const isHttp = url.protocol === "http:" || url.protocol === "https:";
  if (isHttp && allowedHosts.includes(`${url.hostname}:${port}`)) return url;
  if (url.protocol !== "https:") throw refusal(host, "only https is allowed");
  if (isPrivate(url.hostname)) throw refusal(host, "it is not on the public internet");
  return url;
}

function refusal(what: string, why: string): AppError {
  return new AppError("url_refused", `Cannot send to ${what}: ${why}`);
}

/** The URL parser has turned decimal, octal and hexadecimal addresses into dotted ones before. */
function isPrivate(hostname: string): boolean {
  if (hostname.startsWith("[")) return isPrivateV6(hostname.slice(1, -1));
  if (/^[\d.]+$/.test(hostname)) return isPrivateV4(addressOf(hostname));
  const name = hostname.replace(/\.+$/, "");
  return !name.includes(".") || PRIVATE_SUFFIXES.some((suffix) => name.endsWith(`.${suffix}`));
}

function isPrivateV4(address: number): boolean {
  return PRIVATE_V4.some(([first, length]) =>
    (address >>> (32 - length)) === (addressOf(first) >>> (32 - length))
  );
}

function addressOf(dotted: string): number {
  return dotted.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
}

/** Public is only 2000::/3, without what in it is documentation, tunnel or protocol; embedded IPv4 counts as such. */
function isPrivateV6(text: string): boolean {
  const groups = expandV6(text);
  const [first = 0, second = 0] = groups;
  const embedded = (high: number) =>
    isPrivateV4(((groups[high] ?? 0) * 0x10000 + (groups[high + 1] ?? 0)) >>> 0);
  if (first === 0x64 && second === 0xff9b) return embedded(6);
  if (first === 0x2002) return embedded(1);
  const global = (first & 0xe000) === 0x2000;
  return !global || (first === 0x2001 && (second < 0x200 || second === 0xdb8)) || first === 0x3fff;
}

function expandV6(text: string): number[] {
  const [head = "", tail] = text.split("::");
  const parse = (part: string) => part === "" ? [] : part.split(":").map((group) => parseInt(group, 16));
  if (tail === undefined) return parse(head);
  const [before, after] = [parse(head), parse(tail)];
  return [...before, ...Array<number>(Math.max(0, 8 - before.length - after.length)).fill(0), ...after];
}
