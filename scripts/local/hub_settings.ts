/** What the stack writes into a migrated hub before anything calls it: Vault secrets, and where alerts go. */
import type postgres from "postgres";

/** Creates a Vault secret, or gives it a new value: the Vault refuses a name twice. */
export async function putVaultSecret(sql: postgres.Sql, name: string, value: string): Promise<void> {
  const [found] = await sql<{ id: string }[]>`select id from vault.secrets where name = ${name}`;
  if (found === undefined) await sql`select vault.create_secret(${value}, ${name}, 'Set by the local stack')`;
  else await sql`select vault.update_secret(${found.id}, ${value})`;
}

/**
 * Routes alerts as the seeds want it: critical to Telegram, the others to Discord. Does nothing where a person has
 * already said otherwise.
 */
export async function routeAlerts(sql: postgres.Sql): Promise<void> {
  await sql`
    insert into public.alert_config (name, channel, criticality, webhook_url, bot_token, chat_id)
    select *
    from (values
      ('discord', 'discord', 'important', 'env:DISCORD_WEBHOOK_URL', null, null),
      ('discord-low', 'discord', 'low', 'env:DISCORD_WEBHOOK_URL', null, null),
      ('telegram', 'telegram', 'critical', null, 'env:TELEGRAM_BOT_TOKEN', 'env:TELEGRAM_CHAT_ID')
    ) as route
    where not exists (select from public.alert_config)`;
}

/**
 * Annotates two of the demo's jobs, as a person would in the table editor, so that one alert goes to Telegram.
 * What a person has written stays.
 */
export async function annotateDemoJobs(sql: postgres.Sql): Promise<void> {
  await sql`
    update public.job_inventory as job
    set criticality = note.criticality, description = note.description, success_criteria = note.success_criteria,
        owner = note.owner
    from (values
      ('scraping', 'scrape_serp', 'critical', 'Fetches the search results that every campaign starts from',
       'New rows in demo.items every hour', 'scraping team'),
      ('blingsting', 'send_invoices', 'important', 'Sends yesterday''s invoices to customers',
       'Every open invoice has a sent_at', 'finance')
    ) as note (project_name, job_name, criticality, description, success_criteria, owner)
    where job.project_name = note.project_name and job.job_name = note.job_name
      and job.criticality is null and job.description is null`;
}
