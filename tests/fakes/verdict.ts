/** What a fake vendor makes of a request. */
export interface Verdict {
  accepted: boolean;
  /** The message as its reader sees it; `null` where it was refused. */
  text: string | null;
  status: number;
  /** Answered as JSON; `null` for an empty answer. */
  body: unknown;
  headers?: Record<string, string>;
}
