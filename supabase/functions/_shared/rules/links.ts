/** Links that may be shown: https, and nothing that opens a door. */

/**
 * The address as written in full, or `null` for anything that is not plain https, holds a user name or password, or is
 * longer than `limit` characters.
 */
export function httpsUrl(text: string, limit: number): string | null {
  if (text.length > limit || !URL.canParse(text)) return null;
  const { protocol, username, password, href } = new URL(text);
  return protocol === "https:" && username === "" && password === "" && href.length <= limit ? href : null;
}
