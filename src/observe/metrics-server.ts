/**
 * The HTTP listener for Prometheus, and for browsers where the status page is on.
 *
 *   GET /metrics   the metrics, in OpenMetrics for who asks for it (docs/metrics.md)
 *   GET /healthz   200 while the gateway carries packets, else 503 with why not
 *   anything else  the status page's (page-server.ts); without it there is nothing
 */
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import type { MetricsListen } from '../gateway/config.ts';
import type { GatewayStatus } from '../gateway/status.ts';
import { expose } from './metrics.ts';
import type { Exposition } from './metrics.ts';
import type { Answer, StatusPage } from './page-server.ts';
import { processVitals } from './process-vitals.ts';

export interface MetricsSource {
  status(): GatewayStatus;
  readonly version: string;
}

/** Connections at once; more are closed unanswered. */
const MAX_CONNECTIONS = 64;
const FRESH = 200;
/** A client that takes longer for its request, in ms, is cut off. */
const REQUEST_TIME = 5000;

export type Format = 'openMetrics' | 'text';

/** A place to listen at that is made ready, and not yet the only one. */
export interface Move {
  /** The new place's port. */
  readonly port: number;
  commit(): void;
  cancel(): void;
}

/** What listens for scrapes, and where. It may be moved while the gateway runs. */
export class MetricsServer {
  readonly #source: MetricsSource;
  readonly #fresh: number;
  readonly #last = new Map<Format, { at: number; exposition: Promise<Exposition> }>();
  #listen: MetricsListen | undefined;
  #server: Server | undefined;
  #page: StatusPage | undefined;

  /** `fresh`: for so long, in ms, a scrape may be answered with what was read for the one before: floods cost little. */
  constructor(source: MetricsSource, fresh = FRESH) {
    this.#source = source;
    this.#fresh = fresh;
  }

  /**
   * Makes ready to listen at another place, or at none, and to serve this status page, or none. Until that is committed or
   * cancelled both places are served, with the page as before. Throws the system's error if the new one can't be listened on.
   */
  async prepare(listen: MetricsListen | undefined, page?: StatusPage): Promise<Move> {
    if (isSame(listen, this.#listen)) {
      return { port: this.#listen?.port ?? 0, commit: () => (this.#page = page), cancel: () => undefined };
    }
    const server = listen === undefined ? undefined : await this.#open(listen);
    return {
      port: (server?.address() as AddressInfo | undefined)?.port ?? 0,
      commit: () => {
        end(this.#server);
        this.#server = server;
        this.#listen = listen;
        this.#page = page;
      },
      cancel: () => end(server),
    };
  }

  close(): void {
    end(this.#server);
    this.#server = undefined;
    this.#listen = undefined;
  }

  async #open({ address, port }: MetricsListen): Promise<Server> {
    const options = { requestTimeout: REQUEST_TIME, headersTimeout: REQUEST_TIME, connectionsCheckingInterval: 1000 };
    const server = createServer(options, (request, response) => void this.#serve(request, response));
    server.maxConnections = MAX_CONNECTIONS;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, address, resolve);
    });
    return server;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { code, headers, body } = await this.#answer(request).catch((error: unknown): Answer => ({
      code: 500,
      body: `${(error as Error).message}\n`,
    }));
    // A request's body, that nothing asked for, is not waited for.
    if (request.method !== 'GET') response.setHeader('connection', 'close');
    response.writeHead(code, { 'content-type': 'text/plain; charset=utf-8', ...headers });
    response.end(body);
  }

  async #answer(request: IncomingMessage): Promise<Answer> {
    const { method, url, headers } = request;
    const path = url?.split('?')[0];
    if (this.#page !== undefined && path !== '/metrics' && path !== '/healthz') return this.#page.answer(request);
    if (method !== 'GET') return { code: 405, headers: { allow: 'GET' }, body: 'only GET is answered\n' };
    switch (path) {
      case '/metrics': {
        const { contentType, text } = await this.#expose(formatFor(headers.accept ?? ''));
        return { code: 200, headers: { 'content-type': contentType }, body: text };
      }
      case '/healthz':
        return this.#source.status().listening
          ? { code: 200, body: 'ok\n' }
          : { code: 503, body: 'the interface is down or the UDP port is not open\n' };
      default:
        return { code: 404, body: 'there are /metrics and /healthz; gateway.metrics.page would add the status page\n' };
    }
  }

  #expose(format: Format): Promise<Exposition> {
    const now = performance.now();
    const last = this.#last.get(format);
    if (last !== undefined && now - last.at < this.#fresh) return last.exposition;
    const exposition = this.#read(format, now);
    this.#last.set(format, { at: now, exposition });
    return exposition;
  }

  async #read(format: Format, asked: number): Promise<Exposition> {
    // What else waited for the main thread has its turn before.
    await setImmediate();
    const { version } = this.#source;
    const delay_s = (performance.now() - asked) / 1000;
    const observed = { status: this.#source.status(), process: processVitals(), delay_s, version };
    return expose(observed, format === 'openMetrics');
  }
}

/** What a client wants most of what there is, by its Accept header. */
export function formatFor(accept: string): Format {
  const wishes = accept.split(',').map((wish) => {
    const [type, ...parameters] = wish.split(';').map((part) => part.trim().toLowerCase());
    const weight = parameters.find((parameter) => parameter.startsWith('q='));
    return { type, weight: weight === undefined ? 1 : Number(weight.slice(2)) || 0 };
  });
  const weightOf = (wanted: string): number =>
    Math.max(0, ...wishes.filter(({ type }) => type === wanted).map(({ weight }) => weight));
  const openMetrics = weightOf('application/openmetrics-text');
  return openMetrics > 0 && openMetrics >= weightOf('text/plain') ? 'openMetrics' : 'text';
}

function isSame(a: MetricsListen | undefined, b: MetricsListen | undefined): boolean {
  return a?.address === b?.address && a?.port === b?.port;
}

function end(server: Server | undefined): void {
  server?.close();
  server?.closeAllConnections();
}
