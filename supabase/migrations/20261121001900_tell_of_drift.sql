-- Drift (a job vanished, was paused, rescheduled, or its command changed) is always kept in inventory_changes; whether
-- it is told as well is a setting. What is told once has nothing to recover from, so it ends in a way of its own.

alter table public.app_settings
  add constraint "alert_on_drift is true or false" check (key <> 'alert_on_drift' or value in ('true', 'false'));
insert into public.app_settings (key, value, description) values
  ('alert_on_drift', 'false', 'Whether a job that vanished, was paused, rescheduled, or whose command changed is told once as a low incident. Such changes are kept in inventory_changes in any case.')
on conflict (key) do nothing;

alter table public.incidents drop constraint "resolution is a known kind";
alter table public.incidents add constraint "resolution is a known kind" check (
  resolution in ('recovered', 'removed', 'paused', 'rescheduled', 'superseded', 'told', 'by hand')
);
comment on column public.incidents.resolution is
  'How it ended: recovered, removed, paused, rescheduled, superseded (by a graver one), told (it happened once, and that is all) or by hand.';
