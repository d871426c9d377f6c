/**
 * The status page, as a part of the listener for metrics (docs/status-page.md):
 *
 *   GET /                     the page; its parts are under /page/
 *   GET /page/settings.json   what the page may do, and the version
 *   GET /v1/…                 calls of the local API that only tell
 *   POST /v1/reload           for who has the token
 *
 * A browser is a deputy that others send: what it asks for in the name of another site is refused, and so is a name that
 * somebody had resolve to this host (DNS rebinding). All calls together may take so much of the main thread and no more.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import type { IncomingHttpHeaders } from 'node:http';
import { isIP } from 'node:net';
import { extname } from 'node:path';
import { RateBound } from './rate-bound.ts';

export interface Answer {
  readonly code: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: string;
}

/** What is looked at of a request. */
export interface Asked {
  readonly method?: string | undefined;
  readonly url?: string | undefined;
  readonly headers: IncomingHttpHeaders;
}

/** Answers a call of the local API, such as `GET` and `/v1/status?…`. Does not throw for a call that is refused. */
export type Call = (method: 'GET' | 'POST', url: string) => Promise<{ status: number; body: object }>;

export interface PageOptions {
  readonly call: Call;
  readonly version: string;
  /** Names by which it may be called, in small letters, beside `localhost` and addresses. */
  readonly hosts: readonly string[];
  /** Lets its bearer reload; undefined: nobody may. */
  readonly token: Uint8Array | undefined;
  /** Ms, monotonic. */
  readonly clock: () => number;
}

/** What the page may ask, and for how long, in ms, the last answer to the same question is good enough. */
const READS: Readonly<Record<string, number>> = {
  '/v1/status': 200,
  '/v1/events': 200,
  '/v1/routes': 1000,
  '/v1/peerings': 1000,
  '/v1/flows': 1000,
  '/v1/trace': 0,
};
const RELOAD = '/v1/reload';
/** Calls a second that are not answered from memory, of all viewers together; traces and reloads, which take longest. */
const CALLS = { perSecond: 20, burst: 40 };
const COSTLY_CALLS = { perSecond: 5, burst: 10 };

const FOLDER = new URL('./page/', import.meta.url);
const TYPES: Readonly<Partial<Record<string, string>>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
};
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
].join('; ');
const HEADERS = {
  'content-security-policy': POLICY,
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
  'cache-control': 'no-store',
};

export class StatusPage {
  readonly #options: PageOptions;
  readonly #digest: Buffer | undefined;
  readonly #files: ReadonlyMap<string, Answer>;
  /** The last answer of each kind. */
  readonly #last = new Map<string, { url: string; at: number; answer: Promise<Answer> }>();
  readonly #calls: RateBound;
  readonly #costlyCalls: RateBound;

  /** Reads the page's files. Throws the system's error if they can't be read. */
  constructor(options: PageOptions) {
    this.#options = options;
    this.#digest = options.token === undefined ? undefined : digest(options.token);
    this.#files = readFiles();
    this.#calls = new RateBound(CALLS.perSecond, CALLS.burst, options.clock);
    this.#costlyCalls = new RateBound(COSTLY_CALLS.perSecond, COSTLY_CALLS.burst, options.clock);
  }

  async answer(asked: Asked): Promise<Answer> {
    const answer = await this.#answer(asked);
    return { ...answer, headers: { ...HEADERS, ...answer.headers } };
  }

  async #answer({ method, url = '', headers }: Asked): Promise<Answer> {
    if (!this.#mayBeCalled(headers.host)) {
      return refusal(421, 'this name is not one of the page: wanted localhost, an address, or one of metrics.hosts');
    }
    if (isForAnotherSite(headers)) return refusal(403, 'another site asks; only the page itself may');
    const path = url.split('?', 1)[0];
    if (path === RELOAD && method === 'POST') return this.#reload(url, headers);
    if (method !== 'GET') return { ...refusal(405, 'only GET is answered'), headers: { allow: 'GET' } };
    if (path === '/page/settings.json') {
      return json(200, { version: this.#options.version, reload: this.#digest !== undefined });
    }
    if (Object.hasOwn(READS, path)) return this.#read(path, url);
    return this.#files.get(path) ?? refusal(404, 'there are the page at /, /metrics and /healthz');
  }

  #mayBeCalled(host: string | undefined): boolean {
    const name = /^\[?([^\]]+?)\]?(:\d+)?$/.exec(host ?? '')?.[1].toLowerCase() ?? '';
    return isIP(name) !== 0 || name === 'localhost' || this.#options.hosts.includes(name);
  }

  #read(path: string, url: string): Answer | Promise<Answer> {
    const { clock } = this.#options;
    const now = clock();
    const last = this.#last.get(path);
    if (last?.url === url && now - last.at < READS[path]) return last.answer;
    const isCostly = READS[path] === 0;
    if (!(isCostly ? this.#costlyCalls : this.#calls).take()) return tooMany();
    const answer = this.#call('GET', url);
    if (!isCostly) this.#last.set(path, { url, at: now, answer });
    return answer;
  }

  async #reload(url: string, headers: IncomingHttpHeaders): Promise<Answer> {
    if (this.#digest === undefined) return refusal(403, 'the page only shows: no token is set in gateway.metrics');
    if (!this.#costlyCalls.take()) return tooMany();
    const given = /^Bearer (.+)$/.exec(headers.authorization ?? '')?.[1] ?? '';
    if (!timingSafeEqual(digest(Buffer.from(given, 'latin1')), this.#digest)) {
      return refusal(401, 'the token is not the one in gateway.metrics', { 'www-authenticate': 'Bearer' });
    }
    return this.#call('POST', url);
  }

  async #call(method: 'GET' | 'POST', url: string): Promise<Answer> {
    const { call, clock } = this.#options;
    const { status, body } = await call(method, url);
    // By it the page knows how much time lies between two answers, however long they took.
    return json(status, body, { 'isthmus-read-at': clock().toFixed(1) });
  }
}

/** `Sec-Fetch-Site` and `Origin` say who has the browser ask. What is no browser sends neither. */
function isForAnotherSite(headers: IncomingHttpHeaders): boolean {
  const site = headers['sec-fetch-site'];
  // Links to the page are followed from anywhere.
  if (headers['sec-fetch-mode'] === 'navigate') return false;
  if (site !== undefined && site !== 'same-origin' && site !== 'none') return true;
  const { origin, host } = headers;
  return origin !== undefined && !(URL.canParse(origin) && new URL(origin).host === host);
}

function digest(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest();
}

function readFiles(): Map<string, Answer> {
  const files = new Map<string, Answer>();
  for (const name of readdirSync(FOLDER)) {
    const type = TYPES[extname(name)];
    if (type === undefined) continue;
    const body = readFileSync(new URL(name, FOLDER), 'utf8');
    files.set(name === 'index.html' ? '/' : `/page/${name}`, { code: 200, headers: { 'content-type': type }, body });
  }
  return files;
}

function json(code: number, body: object, headers: Readonly<Record<string, string>> = {}): Answer {
  return { code, headers: { 'content-type': 'application/json', ...headers }, body: `${JSON.stringify(body)}\n` };
}

function refusal(code: number, message: string, headers: Readonly<Record<string, string>> = {}): Answer {
  return json(code, { code: 'ISTHMUS_PAGE', message }, headers);
}

function tooMany(): Answer {
  return { ...refusal(429, 'more calls than the page is given: wait a second'), headers: { 'retry-after': '1' } };
}
