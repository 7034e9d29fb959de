/** Where an alert leads: the runbook, and Supabase's dashboard. https only. */
import type { Message } from "../domain/delivery.ts";
import type { Incident } from "../domain/incident.ts";
import { httpsUrl } from "./links.ts";
import { oneLine } from "./text.ts";

/** Characters of a runbook's address. */
const LINK_LIMIT = 1_000;

/** Runbook and dashboard of one incident. */
export function linksOf(incident: Incident): Message["links"] {
  const runbook = runbookUrl(incident.job?.runbookUrl);
  const links = dashboardLinks([incident]);
  return runbook === null ? links : [{ label: "Runbook", url: runbook }, ...links];
}

/** A runbook's address that can be a link; `null` for anything but https. */
export function runbookUrl(written: string | null | undefined): string | null {
  return httpsUrl(written?.trim() ?? "", LINK_LIMIT);
}

/** The dashboards of the incidents' projects, five at most. */
export function dashboardLinks(incidents: readonly Incident[]): Message["links"] {
  const links = new Map<string, string>();
  for (const incident of incidents) {
    const url = dashboardUrl(incident);
    if (url === null || links.size >= 5) continue;
    links.set(url, incidents.length === 1 ? "Dashboard" : `Dashboard of ${oneLine(incident.projectName)}`);
  }
  return [...links].map(([url, label]) => ({ label, url }));
}

/** The page of Supabase's dashboard that shows the subject; `null` where the project's ref is unknown. */
function dashboardUrl(incident: Incident): string | null {
  if (incident.projectId === null || !/^[a-z0-9-]{1,64}$/i.test(incident.projectId)) return null;
  const project = `https://supabase.com/dashboard/project/${incident.projectId}`;
  if (incident.job?.jobType === "pg_cron") return `${project}/integrations/cron/jobs`;
  if (incident.job?.jobType === "edge_function") return `${project}/functions`;
  return project;
}
