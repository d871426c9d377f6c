/**
 * The local API: HTTP over a unix socket that only its owner may use. The CLI asks a running gateway through it.
 *
 * docs/api.yaml describes every call and answer.
 */
import { once } from 'node:events';
import { mkdirSync, rmSync } from 'node:fs';
import { createServer, request } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { dirname } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import type { Change } from '../gateway/difference.ts';
import type { EventsAnswer } from '../gateway/events.ts';
import { IsthmusError } from '../gateway/errors.ts';
import type { LiveEnd, LiveStep } from '../gateway/live.ts';
import type { FlowQuery, FlowsAnswer } from '../gateway/flow-top.ts';
import type { RuleStatus } from '../gateway/rules.ts';
import type { GatewayStatus, RoutesStatus } from '../gateway/status.ts';
import { numberParameter } from '../gateway/parameters.ts';
import { flowQuery } from './flow-query.ts';
import type { TraceAnswer } from '../gateway/trace.ts';
import { PEERING_CALLS } from './peering-calls.ts';
import type { PeeringsTarget } from './peering-calls.ts';
import { isAnswered } from './uapi-socket.ts';

export interface ApiTarget {
  about(): AboutAnswer;
  status(): GatewayStatus;
  rules(): readonly RuleStatus[];
  routes(): RoutesStatus;
  flows(query: FlowQuery): Promise<FlowsAnswer>;
  /** What happened after the event with this number. */
  events(after: number): EventsAnswer;
  /** Reads the file again; `dryRun`: changes nothing. */
  reload(dryRun: boolean): Promise<readonly Change[]>;
  /** Answers what the query asks. */
  trace(query: URLSearchParams): TraceAnswer;
  /** Follows what the query says. */
  follow(query: URLSearchParams): AsyncIterable<LiveStep | LiveEnd | undefined>;
  readonly peerings: PeeringsTarget;
}

/** The process behind the gateway. */
export interface AboutAnswer {
  readonly version: string;
  readonly pid: number;
  /** Absolute path of its configuration file. */
  readonly file: string;
}

/** The rules in the order of the file, those of each network ACL by number. */
export interface RulesAnswer {
  readonly rules: readonly RuleStatus[];
}

/** What a reload changed, or would change, in the order of the file. */
export interface ReloadAnswer {
  readonly changes: readonly Change[];
}

/** Characters that a call may come with. */
const BODY_MOST = 65_536;

/** Serves the API at `path`. What a gateway that was killed left there is taken away. Throws if one that runs is there. */
export async function serveApi(path: string, target: ApiTarget): Promise<Server> {
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  if (await isAnswered(path)) {
    throw new Error('each gateway of a host needs a gateway.interface of its own, and another gateway answers there');
  }
  rmSync(path, { force: true });
  const server = apiServer(target);
  const mask = process.umask(0o077);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, resolve);
  }).finally(() => process.umask(mask));
  return server;
}

/** Answers to one connection: whoever asks on and never reads would have them wait in memory. */
const MOST_CALLS = 100;

/** The API's server, which listens nowhere yet. */
export function apiServer(target: ApiTarget): Server {
  const server = createServer((incoming, response) => {
    answer(incoming, target, response).catch((error: unknown) => {
      const { status, body } = refusalFor(error);
      send(response, status, body);
    });
  });
  server.maxRequestsPerSocket = MOST_CALLS;
  return server;
}

/** The HTTP status and the JSON of an answer. */
export interface ApiAnswer {
  readonly status: number;
  readonly body: object;
}

/**
 * Answers a call that is not a stream, such as `GET` and `/v1/flows?limit=5`; a refusal is an answer too. `sent`: the JSON
 * that came with it, if any.
 */
export async function answerCall(target: ApiTarget, method: string, url: string, sent?: unknown): Promise<ApiAnswer> {
  const [path, query] = url.split('?', 2);
  const call = `${method} ${path}`;
  const parameters = new URLSearchParams(query);
  try {
    if (Object.hasOwn(CALLS, call)) return { status: 200, body: await CALLS[call](target, parameters) };
    if (!isAboutPeerings(call)) {
      return { status: 404, body: { code: 'ISTHMUS_USAGE', message: `no such call: ${call}` } };
    }
    return { status: 200, body: await PEERING_CALLS[call](target.peerings, parameters, sent) };
  } catch (error) {
    return refusalFor(error);
  }
}

function isAboutPeerings(call: string): boolean {
  return Object.hasOwn(PEERING_CALLS, call);
}

function refusalFor(error: unknown): ApiAnswer {
  const { message, code } = error as NodeJS.ErrnoException;
  return { status: 422, body: { code: code ?? 'ISTHMUS_INTERNAL', message } };
}

/** The highest number of an event that can be asked for. */
const MOST_EVENTS = 999_999_999;

/** Every call, and what answers it. docs/api.yaml describes each. */
export const CALLS: Readonly<Record<string, (target: ApiTarget, query: URLSearchParams) => object | Promise<object>>> =
  {
    'GET /v1/about': (target) => target.about(),
    'GET /v1/status': (target) => target.status(),
    'GET /v1/rules': (target): RulesAnswer => ({ rules: target.rules() }),
    'GET /v1/routes': (target) => target.routes(),
    'GET /v1/trace': (target, query) => target.trace(query),
    'GET /v1/flows': (target, query) => target.flows(flowQuery(query)),
    'GET /v1/events': (target, query) => target.events(numberParameter(query, 'after', 0, MOST_EVENTS)),
    'POST /v1/reload': async (target, query): Promise<ReloadAnswer> => ({
      changes: await target.reload(query.get('dry_run') === 'true'),
    }),
  };

/** Calls that are answered by lines of JSON, as what they tell of happens. */
export const STREAMS: Readonly<
  Record<string, (target: ApiTarget, query: URLSearchParams) => AsyncIterable<object | undefined>>
> = {
  'GET /v1/trace/live': (target, query) => target.follow(query),
};

async function answer(incoming: IncomingMessage, target: ApiTarget, response: ServerResponse): Promise<void> {
  const { method = '', url = '' } = incoming;
  const [path, query] = url.split('?', 2);
  const call = `${method} ${path}`;
  if (Object.hasOwn(STREAMS, call)) return stream(response, STREAMS[call](target, new URLSearchParams(query)));
  const sent = isAboutPeerings(call) ? await bodyOf(incoming) : undefined;
  const { status, body } = await answerCall(target, method, url, sent);
  send(response, status, body);
}

/** The JSON that came with a call; undefined without any. Throws `ISTHMUS_USAGE`. */
async function bodyOf(incoming: IncomingMessage): Promise<unknown> {
  let said = '';
  for await (const chunk of incoming.setEncoding('utf8') as AsyncIterable<string>) {
    said += chunk;
    if (said.length > BODY_MOST) {
      throw new IsthmusError('ISTHMUS_USAGE', `the body is longer than ${BODY_MOST} characters`);
    }
  }
  if (said === '') return undefined;
  try {
    return JSON.parse(said);
  } catch {
    throw new IsthmusError('ISTHMUS_USAGE', 'the body is no JSON');
  }
}

/** Writes a line of JSON for each item, until there are no more or nobody reads. A fault before the first is the answer. */
async function stream(response: ServerResponse, items: AsyncIterable<object | undefined>): Promise<void> {
  for await (const item of items) {
    if (response.closed) return;
    if (item === undefined) continue;
    if (!response.headersSent) response.writeHead(200, { 'content-type': 'application/x-ndjson' });
    response.write(`${JSON.stringify(item)}\n`);
  }
  response.end();
}

function send(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(`${JSON.stringify(body)}\n`);
}

/**
 * Makes a call whose answer is lines of JSON, and gives each as it comes. Throws as `callApi` does; an answer other than
 * 200 is given as its one line.
 */
export async function* streamApi(path: string, call: string): AsyncGenerator<{ status: number; body: unknown }> {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    request({ socketPath: path, method: 'GET', path: call, agent: false }, resolve).on('error', reject).end();
  });
  try {
    for await (const line of createInterface({ input: response })) {
      yield { status: response.statusCode ?? 0, body: JSON.parse(line) };
    }
  } finally {
    response.destroy();
  }
}

/**
 * Makes one call of a gateway's API, by a connection of its own: one that was kept could be closed by the other end at any
 * time. Gives the HTTP status and the JSON of the answer. Throws an error with the system's code if
 * nothing listens at `path`; `ETIMEDOUT` if nothing is heard for `patience` ms (0: however long it takes).
 */
export function callApi(
  path: string,
  method: 'GET' | 'POST',
  call: string,
  patience = 0,
): Promise<{ status: number; body: unknown }> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath: path, method, path: call, timeout: patience, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => (text += chunk));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) }));
      response.on('error', reject);
    });
    asked.on('error', reject);
    asked.on('timeout', () => asked.destroy(Object.assign(new Error('no answer'), { code: 'ETIMEDOUT' })));
    asked.end();
  });
}

/** Makes one call of a gateway's API that comes with JSON. Answers and throws as `callApi` does. */
export async function postApi(path: string, call: string, body: object): Promise<{ status: number; body: unknown }> {
  const asked = request({ socketPath: path, method: 'POST', path: call, agent: false });
  asked.end(JSON.stringify(body));
  const [response] = (await once(asked, 'response')) as [IncomingMessage];
  return { status: response.statusCode ?? 0, body: JSON.parse(await text(response)) };
}
