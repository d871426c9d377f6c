/** What the page asks of the gateway. */
import type { Change } from '../../gateway/difference.ts';
import type { EventsAnswer } from '../../gateway/events.ts';
import type { FlowsAnswer } from '../../gateway/flow-top.ts';
import type { PeeringStatus } from '../../gateway/peering-status.ts';
import type { GatewayStatus, RoutesStatus } from '../../gateway/status.ts';
import type { TraceAnswer } from '../../gateway/trace.ts';

export interface Settings {
  readonly version: string;
  /** Whether a token is set, with which one may reload. */
  readonly reload: boolean;
}

/** A call that the gateway refused, with its words. */
export class Refusal extends Error {}

/** Ms after which an answer is given up. */
const PATIENCE = 5000;

async function ask(method: 'GET' | 'POST', path: string, headers: HeadersInit = {}): Promise<[unknown, Response]> {
  const response = await fetch(path, { method, headers, cache: 'no-store', signal: AbortSignal.timeout(PATIENCE) });
  const body: unknown = await response.json();
  if (!response.ok) throw new Refusal((body as { message: string }).message);
  return [body, response];
}

/** The status, and when it was read in ms of the gateway's clock. */
export async function askStatus(): Promise<{ status: GatewayStatus; at: number }> {
  const [body, response] = await ask('GET', '/v1/status');
  return { status: body as GatewayStatus, at: Number(response.headers.get('isthmus-read-at')) };
}

export async function askSettings(): Promise<Settings> {
  return (await ask('GET', '/page/settings.json'))[0] as Settings;
}

export async function askRoutes(): Promise<RoutesStatus> {
  return (await ask('GET', '/v1/routes'))[0] as RoutesStatus;
}

export interface PeeringsAnswer {
  readonly peerings: readonly PeeringStatus[];
}

export async function askPeerings(): Promise<PeeringsAnswer> {
  return (await ask('GET', '/v1/peerings'))[0] as PeeringsAnswer;
}

export async function askFlows(sort: string): Promise<FlowsAnswer> {
  return (await ask('GET', `/v1/flows?${new URLSearchParams({ sort, limit: '100' }).toString()}`))[0] as FlowsAnswer;
}

export async function askEvents(after: number): Promise<EventsAnswer> {
  return (await ask('GET', `/v1/events?after=${after}`))[0] as EventsAnswer;
}

/** `question`: the parameters of `GET /v1/trace`. */
export async function askTrace(question: Readonly<Record<string, string>>): Promise<TraceAnswer> {
  return (await ask('GET', `/v1/trace?${new URLSearchParams(question).toString()}`))[0] as TraceAnswer;
}

export async function reload(token: string, dryRun: boolean): Promise<readonly Change[]> {
  const headers = { authorization: `Bearer ${token}` };
  const [body] = await ask('POST', `/v1/reload?dry_run=${dryRun}`, headers);
  return (body as { changes: Change[] }).changes;
}
