/** Secrets taken out of text that jobs, vendors and people wrote. */

const HIDDEN = "***";

/** A word for something secret, and what stands between it and the secret. */
const ASSIGNED = "(?:passw(?:or)?d|passphrase|secret|api[_-]?key|service_role[_-]?key|private[_-]?key" +
  "|(?:access|auth|refresh|bot|service|webhook)[_-]?(?:token|key))" +
  "(?:[_-]\\w{1,24})?[\"']?\\s{0,4}(?:=>|[:=]|\\s(?='))\\s{0,4}";

/**
 * What a secret looks like, and what stays of it. Every quantifier is bounded and every rule begins at a literal or at
 * a place that a look-behind makes rare, so that the time stays linear in the text.
 */
const RULES: readonly [pattern: RegExp, replacement: string][] = [
  // keys and certificates, to their end or to the end of the text
  [/-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|$)/g, HIDDEN],
  // postgres://user:password@host, where a raw password may hold "/" and "@"
  [
    /((?:postgres(?:ql)?|mysql|redis|rediss|amqps?|mongodb(?:\+srv)?):\/\/[^\s:\/@"'<>]{0,128}):[^\s"'<>]{1,256}@/gi,
    `$1:${HIDDEN}@`,
  ],
  [/(:\/\/[^\s:\/@"'<>]{0,128}):[^\s\/@"'<>]{1,256}@/g, `$1:${HIDDEN}@`],
  // webhooks and bots, whose address is the secret
  [/(\/api\/(?:v\d{1,2}\/)?webhooks\/\d{5,25}\/)[\w-]{6,200}/gi, `$1${HIDDEN}`],
  [/(hooks\.slack(?:-gov)?\.com\/(?:services|workflows|triggers)\/)[\w\/-]{6,200}/gi, `$1${HIDDEN}`],
  [/(?<![\w-])((?:bot)?\d{6,12}):[\w-]{30,64}/g, `$1:${HIDDEN}`],
  [/(?<![\w-])[MNO][\w-]{22,28}\.[\w-]{6,7}\.[\w-]{27,45}/g, HIDDEN],
  // JSON Web Tokens
  [/(?<![A-Za-z0-9])eyJ[\w-]{8,4096}\.[\w-]{4,4096}(?:\.[\w-]{0,4096})?/g, HIDDEN],
  // keys with a telling prefix: Supabase, Slack, GitHub, GitLab, Stripe, OpenAI and Anthropic, Resend, SendGrid, AWS, Google
  [/(?<![A-Za-z0-9])(sb_(?:secret|publishable)_|sbp_(?:oauth_)?)[\w-]{4,256}/g, `$1${HIDDEN}`],
  [/(?<![A-Za-z0-9])(xox[a-z]-|xapp-|gh[opsur]_|github_pat_|glpat-)[\w-]{10,256}/g, `$1${HIDDEN}`],
  [
    /(?<![A-Za-z0-9])((?:sk|rk|pk)_(?:live|test)_|whsec_|sk-(?:ant-|proj-)?)[\w+\/=-]{16,256}/g,
    `$1${HIDDEN}`,
  ],
  [/(?<![A-Za-z0-9])(re_)[A-Za-z0-9]{6,12}_[A-Za-z0-9]{16,64}/g, `$1${HIDDEN}`],
  [/(?<![A-Za-z0-9])(SG\.)[\w-]{16,64}\.[\w-]{16,64}/g, `$1${HIDDEN}`],
  [/(?<![A-Za-z0-9])(AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])/g, `$1${HIDDEN}`],
  [/(?<![A-Za-z0-9])(AIza)[\w-]{35}(?![\w-])/g, `$1${HIDDEN}`],
  // headers
  [
    /(authorization["']?\s{0,4}[:=]\s{0,4}["']?(?:(?:bearer|basic|token)\s{1,4})?)(?!\*\*\*|(?:bearer|basic|token)\s)[^\s"',;]{4,4096}/gi,
    `$1${HIDDEN}`,
  ],
  [/(\bbearer\s{1,4})(?!\*\*\*)[\w.~+\/=-]{16,4096}/gi, `$1${HIDDEN}`],
  // password=…, "secret": "…", PGPASSWORD: …, password '…'
  [new RegExp(`(${ASSIGNED})(["'])(?!\\*\\*\\*)(?:(?!\\2)[^\\n]){1,4096}\\2`, "gi"), `$1$2${HIDDEN}$2`],
  [new RegExp(`(${ASSIGNED}["']?)(?!\\*\\*\\*)[^\\s"',;&)}\\]]{1,4096}`, "gi"), `$1${HIDDEN}`],
  [/([?&](?:token|key|sig|signature|code)=)(?!\*\*\*)[^\s"'&#]{4,512}/gi, `$1${HIDDEN}`],
  [/("token"\s{0,4}:\s{0,4})"[^"\n]{4,512}"/gi, `$1"${HIDDEN}"`],
  [/(\btoken=)(?!\*\*\*)[^\s"',;&)}\]]{8,512}/gi, `$1${HIDDEN}`],
  // 32 bytes or more in hexadecimal; 32 or 64 bytes in Base64. Shorter ones are more often hashes and ids than secrets
  [/(?<![A-Za-z0-9])(?:0x|\\x)?[0-9a-f]{64,512}(?![A-Za-z0-9])/gi, HIDDEN],
  [/(?<![A-Za-z0-9+\/_-])(?:[A-Za-z0-9+\/_-]{43}=|[A-Za-z0-9+\/_-]{86}==)(?![A-Za-z0-9+\/=])/g, HIDDEN],
];

/** Shorter ones are left alone where they are taken from everything: too many words would be blanked. */
const SHORTEST_KNOWN = 6;
/** The same in what projects say, whose names and users are blanked too. */
const SHORTEST_IN_FACTS = 12;
/** Segments of a URL's path that are long enough to be a key. */
const SHORTEST_SEGMENT = 20;

/**
 * Replaces secrets by `***`: passwords in connection strings, keys and tokens of known shapes, `password=…`, and each of
 * `known` wherever it stands, in any of its {@link formsOf}. 100 kB take some milliseconds.
 */
export function redact(text: string, known: readonly string[] = []): string {
  let safe = text;
  for (const secret of known) {
    if (secret.length < SHORTEST_KNOWN) continue;
    for (const form of formsOf(secret)) safe = safe.replaceAll(form, HIDDEN);
  }
  for (const [pattern, replacement] of RULES) safe = safe.replace(pattern, replacement);
  return safe;
}

/** A secret as it is, and as URLs, JSON and headers write it; longest first. */
export function formsOf(secret: string): string[] {
  const bytes = new TextEncoder().encode(secret);
  const base64 = btoa(String.fromCharCode(...bytes));
  const forms = [
    secret,
    encodeURIComponent(secret.toWellFormed()),
    JSON.stringify(secret).slice(1, -1),
    base64,
    base64.replace(/=+$/, "").replaceAll("+", "-").replaceAll("/", "_"),
    [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join(""),
  ];
  return [...new Set(forms)].sort((a, b) => b.length - a.length);
}

/** What of a configured value is secret by itself: a URL's password, the keys in its path, each of several keys, a bot's. */
export function secretParts(value: string): string[] {
  const long = (part: string) => part.length >= SHORTEST_SEGMENT;
  if (!/^[a-z+]+:\/\//i.test(value)) return [value, ...value.split(/[\s,:]+/).filter(long)];
  // a password that was not escaped can make it something else than a URL
  if (!URL.canParse(value)) return [value, ...value.match(/(?<=:\/\/[^:]*:).+(?=@)/) ?? []];
  const { password, pathname } = new URL(value);
  const passwords = password === "" ? [] : [password, decoded(password)];
  return [value, ...passwords, ...pathname.split("/").filter(long)];
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/**
 * Blanks configured secrets in every text of what a project said, so that nothing that is made of it can hold one. Names
 * of jobs and users included: short secrets are left alone, since they may be words.
 */
export function secretBlanker(configured: readonly string[]): <T>(value: T) => T {
  const known = new Set(configured.flatMap(secretParts));
  const forms = [...known].filter((one) => one.length >= SHORTEST_IN_FACTS).flatMap(formsOf);
  if (forms.length === 0) return (value) => value;
  const longestFirst = [...new Set(forms)].sort((a, b) => b.length - a.length);
  const pattern = new RegExp(
    longestFirst.map((form) => form.replace(/[^A-Za-z0-9_]/g, "\\$&")).join("|"),
    "g",
  );
  return <T>(value: T) => blank(value, pattern) as T;
}

/** The same value where nothing has to be blanked: most of what is read holds no secret, and there is much of it. */
function blank(value: unknown, pattern: RegExp): unknown {
  if (typeof value === "string") return value.replace(pattern, HIDDEN);
  if (typeof value !== "object" || value === null) return value;
  if (!Array.isArray(value) && Object.getPrototypeOf(value) !== Object.prototype) return value;
  const changed = Object.entries(value).flatMap(([key, one]) => {
    const blanked = blank(one, pattern);
    return blanked === one ? [] : [[key, blanked] as const];
  });
  if (changed.length === 0) return value;
  const copy = Array.isArray(value) ? [...value] : { ...value };
  return Object.assign(copy, Object.fromEntries(changed));
}
