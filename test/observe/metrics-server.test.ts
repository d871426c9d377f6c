import { createServer, connect } from 'node:net';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import test from 'ava';
import type { GatewayStatus } from '../../src/gateway/status.ts';
import { MetricsServer } from '../../src/observe/metrics-server.ts';
import { STATUS } from './samples.ts';

const address = '127.0.0.1';

async function serving(status: () => GatewayStatus): Promise<{ server: MetricsServer; at: string; port: number }> {
  // Long enough for no second reading within a test.
  const server = new MetricsServer({ status, version: '1.2.3' }, 1e9);
  const move = await server.prepare({ address, port: 0 });
  move.commit();
  return { server, at: `http://${address}:${move.port}`, port: move.port };
}

test('it serves metrics and health to GET, and nothing else to nobody', async (t) => {
  let status = STATUS;
  const { server, at } = await serving(() => status);
  t.teardown(() => server.close());
  const scrape = await fetch(`${at}/metrics`);
  t.is(scrape.status, 200);
  t.is(scrape.headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8');
  t.regex(await scrape.text(), /^isthmus_build_info\{version="1\.2\.3",/m);
  const asked = await fetch(`${at}/metrics?a=b`, { headers: { accept: 'application/openmetrics-text' } });
  t.is(asked.headers.get('content-type'), 'application/openmetrics-text; version=1.0.0; charset=utf-8');
  t.regex(await asked.text(), /\n# EOF\n$/);

  t.deepEqual(await (await fetch(`${at}/healthz`)).text(), 'ok\n');
  status = { ...STATUS, listening: false };
  t.is((await fetch(`${at}/healthz`)).status, 503);

  t.is((await fetch(`${at}/`)).status, 404);
  for (const method of ['POST', 'PUT', 'DELETE', 'HEAD', 'OPTIONS']) {
    const refused = await fetch(`${at}/metrics`, { method });
    t.is(refused.status, 405, method);
    t.is(refused.headers.get('allow'), 'GET');
  }
});

test('a flood of scrapes reads the status once', async (t) => {
  let reads = 0;
  const { server, at } = await serving(() => {
    reads++;
    return STATUS;
  });
  t.teardown(() => server.close());
  const texts = await Promise.all(
    Array.from({ length: 10 }, async () => (await fetch(`${at}/metrics`, { keepalive: false })).text()),
  );
  t.true(texts.every((text) => text.includes('isthmus_build_info')));
  t.is(reads, 1);
});

test('a status that fails is an answer, not the end', async (t) => {
  const { server, at } = await serving(() => {
    throw new Error('closed');
  });
  t.teardown(() => server.close());
  for (const path of ['metrics', 'healthz']) t.is((await fetch(`${at}/${path}`)).status, 500);
});

test('it moves by two steps: nothing is lost where the second is not taken', async (t) => {
  const { server, at } = await serving(() => STATUS);
  t.teardown(() => server.close());
  const elsewhere = { address: '127.0.0.2', port: 0 };
  const health = ({ port }: { port: number }): string => `http://${elsewhere.address}:${port}/healthz`;
  const cancelled = await server.prepare(elsewhere);
  t.is((await fetch(health(cancelled))).status, 200);
  cancelled.cancel();
  await t.throwsAsync(fetch(health(cancelled)));
  t.is((await fetch(`${at}/healthz`)).status, 200);

  const taken = createServer().listen(0, address);
  await once(taken, 'listening');
  t.teardown(() => void taken.close());
  await t.throwsAsync(server.prepare({ address, port: (taken.address() as AddressInfo).port }), { code: 'EADDRINUSE' });

  (await server.prepare({ address, port: 0 })).commit();
  t.is((await fetch(`${at}/healthz`)).status, 200, 'the same place is no move');
  const moved = await server.prepare(elsewhere);
  moved.commit();
  t.is((await fetch(health(moved))).status, 200);
  await t.throwsAsync(fetch(`${at}/healthz`));
  (await server.prepare(undefined)).commit();
  await t.throwsAsync(fetch(health(moved)));
});

test('what is no HTTP ends that connection only', async (t) => {
  const { server, at, port } = await serving(() => STATUS);
  t.teardown(() => server.close());
  const socket = connect(port, address);
  socket.end('\u0000nonsense\r\n\r\n');
  socket.resume();
  await once(socket, 'close');
  t.is((await fetch(`${at}/healthz`)).status, 200);
});
