import { readFileSync, readdirSync } from 'node:fs';
import { request } from 'node:http';
import type { IncomingHttpHeaders } from 'node:http';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { MetricsServer } from '../../src/observe/metrics-server.ts';
import { StatusPage } from '../../src/observe/page-server.ts';
import type { PageOptions } from '../../src/observe/page-server.ts';
import { STATUS } from './samples.ts';

const TOKEN = 'a token of length';
const address = '127.0.0.1';
const SOURCES = new URL('../../../src/observe/page/', import.meta.url);

interface Reply {
  readonly code: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

interface Served {
  readonly port: number;
  /** The calls that came to the gateway. */
  readonly calls: string[];
  /** Ms, to be set. */
  readonly clock: { now: number };
  readonly ask: (path: string, headers?: Readonly<Record<string, string>>, method?: string) => Promise<Reply>;
}

async function served(t: ExecutionContext, options: Partial<PageOptions> = {}): Promise<Served> {
  const calls: string[] = [];
  const clock = { now: 1000 };
  const page = new StatusPage({
    call: (method, url) => {
      calls.push(`${method} ${url}`);
      return Promise.resolve({ status: 200, body: { number: calls.length } });
    },
    version: '1.2.3',
    hosts: ['gateway.example.com'],
    token: Buffer.from(TOKEN),
    clock: () => clock.now,
    ...options,
  });
  const server = new MetricsServer({ status: () => STATUS, version: '1.2.3' });
  const move = await server.prepare({ address, port: 0 }, page);
  move.commit();
  t.teardown(() => server.close());
  const ask: Served['ask'] = (path, headers = {}, method = 'GET') =>
    new Promise((resolve, reject) => {
      const asked = request({ host: address, port: move.port, path, method, headers }, (response) => {
        let body = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => (body += chunk));
        response.on('end', () => resolve({ code: response.statusCode ?? 0, headers: response.headers, body }));
      });
      asked.on('error', reject);
      asked.end();
    });
  return { port: move.port, calls, clock, ask };
}

test('the page and all that it is made of are served, under a strict policy', async (t) => {
  const { ask } = await served(t);
  const page = await ask('/');
  t.is(page.code, 200);
  t.is(page.headers['content-type'], 'text/html; charset=utf-8');
  const policy = String(page.headers['content-security-policy']);
  for (const part of ["default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'"]) {
    t.true(policy.includes(part), part);
  }
  t.notRegex(policy, /unsafe|https?:|\*/);
  t.is(page.headers['x-content-type-options'], 'nosniff');
  t.is(page.headers['cache-control'], 'no-store');
  t.notRegex(page.body, /<style|\sstyle=|<script(?! type="module" src=)|\son\w+=|https?:/);

  // Every part is there, and the parts that those ask for.
  const parts = Array.from(page.body.matchAll(/(?:src|href)="(\/[^"]+)"/g), ([, path]) => path);
  t.true(parts.includes('/page/main.js') && parts.includes('/page/page.css'));
  for (const path of parts) {
    const part = await ask(path);
    t.is(part.code, 200, path);
    t.is(part.headers['content-security-policy'], policy, path);
    for (const [, name] of part.body.matchAll(/from ['"]\.\/([^'"]+)['"]/g)) {
      if (!parts.includes(`/page/${name}`)) parts.push(`/page/${name}`);
    }
    t.notRegex(part.body.replaceAll('http://www.w3.org/2000/svg', ''), /https?:\/\/|from ['"]\.\.\//, path);
  }
  const scripts = readdirSync(SOURCES).filter((name) => name.endsWith('.ts'));
  t.deepEqual(
    scripts.filter((name) => !parts.includes(`/page/${name.replace(/ts$/, 'js')}`)),
    [],
    'each source is a part of the page',
  );
  t.is((await ask('/page/tsconfig.json')).code, 404);
  t.is((await ask('/page/../../../package.json')).code, 404);
});

test('texts only ever go in as text', (t) => {
  const sources = readdirSync(SOURCES).filter((name) => name.endsWith('.ts'));
  t.true(sources.length > 5);
  for (const name of sources) {
    t.notRegex(
      readFileSync(new URL(name, SOURCES), 'utf8'),
      /innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(/,
    );
  }
});

test('metrics and health are as without a page', async (t) => {
  const { ask } = await served(t);
  const metrics = await ask('/metrics', { host: 'prometheus-calls-it.so:9586' });
  t.is(metrics.code, 200);
  t.is(metrics.headers['content-security-policy'], undefined);
  t.is((await ask('/healthz')).body, 'ok\n');
  t.is((await ask('/metrics', {}, 'POST')).code, 405);
});

test('the page may ask what only tells, and nothing else', async (t) => {
  const { ask, calls, clock } = await served(t);
  for (const call of [
    '/v1/status',
    '/v1/events?after=3',
    '/v1/routes',
    '/v1/peerings',
    '/v1/flows?sort=rate',
    '/v1/trace?port=1',
  ]) {
    const { code, headers, body } = await ask(call);
    t.is(code, 200, call);
    t.is(headers['content-type'], 'application/json');
    t.is(headers['isthmus-read-at'], '1000.0');
    t.deepEqual(JSON.parse(body), { number: calls.length });
    t.is(calls.at(-1), `GET ${call}`);
    clock.now = 1000;
  }
  const before = calls.length;
  for (const [path, method, code] of [
    ['/v1/rules/../reload', 'GET', 404],
    ['/v1/trace/live', 'GET', 404],
    ['/v1/reload', 'GET', 404],
    ['/v1/peerings/accept', 'POST', 405],
    ['/v1/audit', 'GET', 404],
    ['/v1/status', 'POST', 405],
    ['/v1/anything', 'POST', 405],
    ['/', 'HEAD', 405],
    ['/__proto__', 'GET', 404],
  ] as const) {
    t.is((await ask(path, {}, method)).code, code, `${method} ${path}`);
  }
  t.is(calls.length, before);
  t.deepEqual(JSON.parse((await ask('/page/settings.json')).body), { version: '1.2.3', reload: true });
});

test('a name that somebody had resolve to this host is refused', async (t) => {
  const { ask, calls, port } = await served(t);
  for (const host of [
    `${address}:${port}`,
    `localhost:${port}`,
    'LOCALHOST',
    '[::1]:9586',
    '192.0.2.1',
    'gateway.example.com',
    'Gateway.Example.com:443',
  ]) {
    t.is((await ask('/', { host })).code, 200, host);
  }
  for (const host of ['evil.example', 'localhost.evil.example', 'gateway.example.com.evil.example:80']) {
    for (const path of ['/', '/v1/status', '/page/main.js']) t.is((await ask(path, { host })).code, 421, host);
    t.is((await ask('/v1/reload', { host, authorization: `Bearer ${TOKEN}` }, 'POST')).code, 421, host);
  }
  t.deepEqual(calls, []);
});

test('another site has a browser ask in vain', async (t) => {
  const { ask, calls, port } = await served(t);
  const own = `http://${address}:${port}`;
  for (const headers of [
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
    { origin: 'http://evil.example' },
    { origin: 'null' },
    { origin: `https://${address}:1` },
  ]) {
    t.is((await ask('/v1/status', headers as Record<string, string>)).code, 403, JSON.stringify(headers));
    const reload = { ...headers, authorization: `Bearer ${TOKEN}` } as Record<string, string>;
    t.is((await ask('/v1/reload', reload, 'POST')).code, 403, JSON.stringify(headers));
  }
  t.deepEqual(calls, []);
  t.is((await ask('/v1/status', { 'sec-fetch-site': 'same-origin', origin: own })).code, 200);
  t.is((await ask('/', { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate' })).code, 200, 'a link');
});

test('who has the token reloads, and nobody where there is none', async (t) => {
  const { ask, calls, clock } = await served(t);
  for (const authorization of ['', 'Bearer', 'Bearer wrong', `Basic ${TOKEN}`, `Bearer ${TOKEN}x`, TOKEN]) {
    const { code, headers, body } = await ask('/v1/reload', { authorization }, 'POST');
    t.is(code, 401, authorization);
    t.is(headers['www-authenticate'], 'Bearer');
    t.is(headers['content-type'], 'application/json');
    t.false(body.includes(TOKEN));
  }
  t.deepEqual(calls, []);
  clock.now += 10_000;
  const done = await ask('/v1/reload?dry_run=true', { authorization: `Bearer ${TOKEN}` }, 'POST');
  t.is(done.code, 200);
  t.deepEqual(calls, ['POST /v1/reload?dry_run=true']);

  const closed = await served(t, { token: undefined });
  t.is((await closed.ask('/v1/reload', { authorization: 'Bearer undefined' }, 'POST')).code, 403);
  t.deepEqual(closed.calls, []);
  t.deepEqual(JSON.parse((await closed.ask('/page/settings.json')).body), { version: '1.2.3', reload: false });
});

test('many viewers cost little more than one, and no flood costs more than it may', async (t) => {
  const { ask, calls, clock } = await served(t);
  await Promise.all(Array.from({ length: 30 }, () => ask('/v1/status')));
  t.is(calls.length, 1, 'the same question at once');
  clock.now += 200;
  await ask('/v1/status');
  t.is(calls.length, 2, 'a moment later');

  const codes = [];
  for (let number = 0; number < 30; number++) codes.push((await ask(`/v1/trace?port=${number}`)).code);
  t.is(codes.filter((code) => code === 200).length, 10);
  const refused = await ask('/v1/trace?port=31');
  t.is(refused.code, 429);
  t.is(refused.headers['retry-after'], '1');
  clock.now += 1000;
  t.is((await ask('/v1/trace?port=31')).code, 200);

  clock.now += 10_000;
  const before = calls.length;
  for (let number = 0; number < 60; number++) await ask(`/v1/flows?limit=${number}`);
  t.is(calls.length - before, 40);
});

test('a page is taken away, and given, without a new listener', async (t) => {
  const server = new MetricsServer({ status: () => STATUS, version: '1.2.3' });
  t.teardown(() => server.close());
  const first = await server.prepare({ address, port: 0 });
  first.commit();
  const at = `http://${address}:${first.port}/`;
  t.is((await fetch(at)).status, 404);
  const call = (): Promise<never> => Promise.reject(new Error('not asked'));
  const page = new StatusPage({ call, version: '', hosts: [], token: undefined, clock: () => 0 });
  const given = await server.prepare({ address, port: 0 }, page);
  t.is((await fetch(at)).status, 404, 'not before it is committed');
  given.commit();
  t.is((await fetch(at)).status, 200);
  (await server.prepare({ address, port: 0 })).commit();
  t.is((await fetch(at)).status, 404);
});
