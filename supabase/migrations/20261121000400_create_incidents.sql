-- What is wrong, and whom it is owed to.

create table public.incidents (
  id uuid primary key default gen_random_uuid(),
  project_name text not null,
  subject_kind text not null,
  subject_id text not null,
  code text not null,
  severity text not null,
  summary text not null,
  detail jsonb not null default '{}',
  job_inventory_id uuid references public.job_inventory (id) on delete set null,
  opened_at timestamptz not null default now(),
  last_seen_at timestamptz not null default now(),
  resolved_at timestamptz,
  resolution text,
  constraint "subject_kind is job, project, channel, metric or hub" check (
    subject_kind in ('job', 'project', 'channel', 'metric', 'hub')
  ),
  constraint "severity is critical, important, low or info" check (severity in ('critical', 'important', 'low', 'info')),
  constraint "a resolved incident says how" check ((resolved_at is null) = (resolution is null)),
  constraint "resolution is a known kind" check (
    resolution in ('recovered', 'removed', 'paused', 'rescheduled', 'superseded', 'by hand')
  )
);
comment on table public.incidents is 'Conditions that hold until they clear. At most one unresolved per subject and code.';
comment on column public.incidents.subject_id is 'job: job_inventory.id. project: its name. channel: alert_config.id.';
comment on column public.incidents.code is 'The verdict: failed, missed, unreachable, …';
comment on column public.incidents.detail is 'Facts for the alert.';
comment on column public.incidents.resolution is 'How it ended: recovered, removed, paused, rescheduled, superseded (by a graver one) or by hand.';
create unique index incidents_one_unresolved on public.incidents (subject_kind, subject_id, code) where resolved_at is null;
create index incidents_unresolved on public.incidents (project_name) where resolved_at is null;
create index incidents_opened on public.incidents (opened_at desc);
create index incidents_job on public.incidents (job_inventory_id);

create table public.alert_config (
  id uuid primary key default gen_random_uuid(),
  name text,
  channel text not null,
  criticality text not null default 'all',
  webhook_url text,
  bot_token text,
  chat_id text,
  api_key text,
  account text,
  sender text,
  recipients text,
  message_stream text,
  thread_id text,
  enabled boolean not null default true,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint "channel is one of those that the column's comment names" check (
    channel in ('discord', 'telegram', 'slack', 'resend', 'postmark', 'twilio', 'pagerduty', 'webhook')
  ),
  constraint "criticality is critical, important, low or all" check (criticality in ('critical', 'important', 'low', 'all')),
  constraint "discord needs webhook_url" check (channel <> 'discord' or coalesce(btrim(webhook_url), '') <> ''),
  constraint "telegram needs bot_token and chat_id" check (
    channel <> 'telegram' or (coalesce(btrim(bot_token), '') <> '' and coalesce(btrim(chat_id), '') <> '')
  ),
  constraint "slack needs webhook_url" check (channel <> 'slack' or coalesce(btrim(webhook_url), '') <> ''),
  constraint "resend needs api_key, sender and recipients" check (
    channel <> 'resend'
    or (coalesce(btrim(api_key), '') <> '' and coalesce(btrim(sender), '') <> '' and coalesce(btrim(recipients), '') <> '')
  ),
  constraint "postmark needs api_key, sender and recipients" check (
    channel <> 'postmark'
    or (coalesce(btrim(api_key), '') <> '' and coalesce(btrim(sender), '') <> '' and coalesce(btrim(recipients), '') <> '')
  ),
  constraint "twilio needs account, api_key, sender and recipients" check (
    channel <> 'twilio'
    or (
      coalesce(btrim(account), '') <> '' and coalesce(btrim(api_key), '') <> ''
      and coalesce(btrim(sender), '') <> '' and coalesce(btrim(recipients), '') <> ''
    )
  ),
  constraint "pagerduty needs api_key" check (channel <> 'pagerduty' or coalesce(btrim(api_key), '') <> ''),
  constraint "webhook needs webhook_url and api_key" check (
    channel <> 'webhook' or (coalesce(btrim(webhook_url), '') <> '' and coalesce(btrim(api_key), '') <> '')
  ),
  constraint "message_stream is not empty (use NULL for the default)" check (btrim(message_stream) <> ''),
  constraint "thread_id is not empty (use NULL for none)" check (btrim(thread_id) <> '')
);
comment on table public.alert_config is 'Where alerts go: every enabled row that takes an alert''s criticality gets it.';
comment on column public.alert_config.name is 'A name for the row, which job_inventory.alert_channel can ask for.';
comment on column public.alert_config.channel is 'discord, telegram, slack, resend or postmark (mail), twilio (SMS), pagerduty, or webhook (signed).';
comment on column public.alert_config.criticality is 'Which alerts: critical, important, low, or all. A job without an annotation is important.';
comment on column public.alert_config.webhook_url is 'Discord, Slack: the incoming webhook''s URL. Webhook: where signed alerts are posted to. Better where it is kept: vault:NAME or env:NAME.';
comment on column public.alert_config.bot_token is 'Telegram: the bot''s token, or better where it is kept: vault:NAME or env:NAME.';
comment on column public.alert_config.chat_id is 'Telegram: the chat, or vault:NAME or env:NAME.';
comment on column public.alert_config.api_key is 'Resend: API key. Postmark: server token. Twilio: auth token. PagerDuty: routing (integration) key. Webhook: signing secret whsec_…, several while one replaces another. Better where it is kept: vault:NAME or env:NAME.';
comment on column public.alert_config.account is 'Twilio: account SID (AC…), or vault:NAME or env:NAME.';
comment on column public.alert_config.sender is 'Resend, Postmark: From, such as Alerts <alerts@example.com>. Twilio: number, sender name or messaging service (MG…). Or vault:NAME or env:NAME.';
comment on column public.alert_config.recipients is 'Resend, Postmark: mail addresses (up to 50). Twilio: numbers such as +15551234567 (up to 10). Comma separated; or vault:NAME or env:NAME.';
comment on column public.alert_config.message_stream is 'Postmark: message stream; empty: outbound.';
comment on column public.alert_config.thread_id is 'Discord: the thread. Telegram: the topic (message_thread_id). Empty: none.';
comment on column public.alert_config.enabled is 'false: sends nothing.';

create trigger alert_config_tidy_text
  before insert or update of name, webhook_url, bot_token, chat_id on public.alert_config
  for each row execute function monitoring.tidy_text('name', 'webhook_url', 'bot_token', 'chat_id');
create trigger alert_config_updated_at before update on public.alert_config
  for each row execute function monitoring.touch_updated_at();

create table public.alert_deliveries (
  id uuid primary key default gen_random_uuid(),
  alert_config_id uuid references public.alert_config (id) on delete set null,
  channel text,
  event text not null,
  state text not null default 'due',
  attempts integer not null default 0,
  next_attempt_at timestamptz not null default now(),
  leased_until timestamptz,
  lease_token uuid,
  rendered jsonb,
  last_error text,
  provider_id text,
  note text,
  admitted_at timestamptz default now(),
  held_reason text,
  uncertain_attempts integer not null default 0,
  followed_at timestamptz,
  refused text,
  created_at timestamptz not null default now(),
  sent_at timestamptz,
  settled_at timestamptz,
  constraint "event is opened, reminder, resolved or test" check (event in ('opened', 'reminder', 'resolved', 'test')),
  constraint "state is due, sent, failed, unroutable or cancelled" check (
    state in ('due', 'sent', 'failed', 'unroutable', 'cancelled')
  ),
  constraint "refused is target or message, of what has failed" check (
    refused is null or (refused in ('target', 'message') and state = 'failed')
  ),
  constraint "a sent delivery says when" check (state <> 'sent' or sent_at is not null),
  constraint "an unsent end says why" check (state not in ('failed', 'unroutable', 'cancelled') or last_error is not null)
);
comment on table public.alert_deliveries is 'The outbox: one message owed to one channel, kept until the vendor took it or a row says why not.';
comment on column public.alert_deliveries.rendered is 'What is sent, fixed at the first attempt so that a retry sends the same bytes. Holds no secret.';
comment on column public.alert_deliveries.note is 'Why this channel is told, where that needs a word: an escalation, another channel''s failure.';
comment on column public.alert_deliveries.admitted_at is 'When the policy let it through. Nothing is claimed before; empty: not yet looked at, or held.';
comment on column public.alert_deliveries.held_reason is 'What it waits for: quiet hours, a silence, calm, the next digest.';
comment on column public.alert_deliveries.uncertain_attempts is 'Attempts of which nobody knows whether the vendor took them.';
comment on column public.alert_deliveries.followed_at is 'When it was decided what follows from its failure.';
comment on column public.alert_deliveries.refused is 'What its vendor refused for good: the target, to which nothing gets through, or this message.';
comment on column public.alert_deliveries.last_error is 'What the last attempt met, scrubbed of secrets.';
create index alert_deliveries_due on public.alert_deliveries (next_attempt_at) where state = 'due';
create index alert_deliveries_failed on public.alert_deliveries (settled_at) where state = 'failed' and followed_at is null;
create index alert_deliveries_admitted on public.alert_deliveries (admitted_at);
create index alert_deliveries_config on public.alert_deliveries (alert_config_id);
create index alert_deliveries_unroutable on public.alert_deliveries (created_at) where state = 'unroutable';
create index alert_deliveries_created on public.alert_deliveries (created_at desc);

create table public.delivery_incidents (
  delivery_id uuid not null references public.alert_deliveries (id) on delete cascade,
  incident_id uuid not null references public.incidents (id) on delete cascade,
  primary key (delivery_id, incident_id)
);
comment on table public.delivery_incidents is 'Which incidents a delivery tells of.';
create index delivery_incidents_incident on public.delivery_incidents (incident_id);
