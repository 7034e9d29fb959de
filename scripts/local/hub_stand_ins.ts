/** What the hub has on Supabase and Debian lacks, as SQL to be run by superuser `supabase_admin`. */

/** Supabase Vault and pg_net, both stand-ins: see the files. */
export async function hubStandInsSql(): Promise<string> {
  const files = ["vault_stand_in.sql", "pg_net_stand_in.sql"];
  const texts = await Promise.all(files.map((file) => Deno.readTextFile(new URL(file, import.meta.url))));
  return texts.join("\n");
}
