import { readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { stringify } from 'yaml';
import { connected, generatePsk, isthmusFiles, isthmusOn, startIsthmus, writeGatewayFile } from '../lab/contenders.ts';
import { pingTime } from '../lab/iperf3.ts';
import { knock } from '../lab/knock.ts';
import type { Lab } from '../lab/lab.ts';
import { must, until } from '../lab/process.ts';
import { B, twoVpcs } from '../lab/two-vpcs.ts';

const DEPLOY = fileURLToPath(new URL('../../../deploy/prometheus', import.meta.url));
const RULES = join(DEPLOY, 'isthmus.rules.yaml');
/** Nothing here depends on how fast the machine is; a Prometheus takes its time to start. */
const PATIENCE = 120_000;

interface Sample {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [number, string];
}

/** What an address on a host answers, and the HTTP status. */
async function get(lab: Lab, host: string, url: string, ...headers: string[]): Promise<{ code: number; body: string }> {
  const script = `const [url, ...headers] = process.argv.slice(1);
    const response = await fetch(url, { headers: headers.map((each) => each.split(': ')) });
    console.log(response.status + '\\n' + (await response.text()));`;
  const argv = [process.execPath, '--input-type=module', '-e', script, '--', url, ...headers];
  const [, code, body] = /^(\d+)\n([^]*)\n$/.exec(await lab.must(host, argv))!;
  return { code: Number(code), body };
}

async function query(lab: Lab, expression: string): Promise<Sample[]> {
  const url = `http://127.0.0.1:9090/api/v1/query?query=${encodeURIComponent(expression)}`;
  return (JSON.parse((await get(lab, 'gwa', url)).body) as { data: { result: Sample[] } }).data.result;
}

/** A Prometheus on gateway A that scrapes it every second, with the alert rules. */
async function startPrometheus(lab: Lab, target: string): Promise<void> {
  const file = join(lab.directory, 'prometheus.yaml');
  const config = {
    global: { scrape_interval: '1s', evaluation_interval: '1s' },
    rule_files: [RULES],
    scrape_configs: [{ job_name: 'isthmus', static_configs: [{ targets: [target] }] }],
  };
  writeFileSync(file, stringify(config));
  const storage = `--storage.tsdb.path=${join(lab.directory, 'tsdb')}`;
  const argv = ['prometheus', `--config.file=${file}`, storage, '--web.listen-address=127.0.0.1:9090'];
  const running = lab.spawn('gwa', argv);
  const ready = async (): Promise<boolean> => {
    if (!running.isRunning()) throw new Error(running.output());
    return (await get(lab, 'gwa', 'http://127.0.0.1:9090/-/ready').catch(() => ({ code: 0 }))).code === 200;
  };
  await until('Prometheus', ready, PATIENCE);
}

test('a real Prometheus scrapes a gateway: traffic, sessions, drops, rules and threads', async (t) => {
  const lab = await twoVpcs();
  t.teardown(() => lab.dispose());
  await startIsthmus(lab, {
    change: (a) => {
      a.gateway['metrics'] = 9586;
      a.acls['open'].unshift({ name: 'no-telnet', action: 'deny', protocol: 'tcp', ports: 23 });
    },
  });
  await startPrometheus(lab, '127.0.0.1:9586');
  await pingTime(lab, { count: 5 });
  await knock(lab, 'a', B[4], 23);

  const isSeen = (expression: string): Promise<void> =>
    until(expression, async () => (await query(lab, expression)).length > 0, PATIENCE);
  for (const expression of [
    'up{job="isthmus"} == 1',
    'isthmus_gateway_info{gateway="gateway-a"} == 1',
    'isthmus_listening == 1',
    'isthmus_peer_up{peer="vpc-b"} == 1',
    'isthmus_peer_endpoint_known{peer="vpc-b"} == 1',
    'isthmus_peer_session_info{peer="vpc-b", cipher=~"aes-256-gcm|chacha20-poly1305"}',
    'isthmus_peer_handshake_age_seconds{peer="vpc-b"} < 180',
    'isthmus_peer_handshakes_total{peer="vpc-b"} >= 1',
    'isthmus_peer_handshake_initiations_total{peer="vpc-b"} >= 1',
    'isthmus_peer_transmit_packets_total{peer="vpc-b"} >= 5',
    'isthmus_peer_receive_packets_total{peer="vpc-b"} >= 5',
    'isthmus_peer_transmit_bytes_total{peer="vpc-b"} > 500',
    'isthmus_peer_receive_bytes_total{peer="vpc-b"} > 500',
    'isthmus_peer_roams_total{peer="vpc-b"} == 0',
    'isthmus_peer_psk_age_seconds{peer="vpc-b"} < 3600',
    'isthmus_local_receive_packets_total >= 5',
    'isthmus_local_transmit_bytes_total >= 400',
    'isthmus_transit_queue_bytes == 0',
    'isthmus_rule_denied_total{rule="no-telnet"} >= 1',
    'isthmus_rule_hits_total{rule="all"} >= 1',
    'isthmus_flow_table_flows >= 1',
    'isthmus_thread_batches_total{thread="outbound"} >= 5',
    'isthmus_thread_batch_entries_total{thread="inbound"} >= 5',
    'sum(isthmus_thread_cpu_seconds_total) > 0',
    'process_resident_memory_bytes > 1e7',
    'sum(isthmus_peer_drops_total{peer="vpc-b"}) >= 1',
    'sum(isthmus_drops_total) >= sum(isthmus_peer_drops_total)',
    // None of the alerts has anything to say.
    'count_over_time(up{job="isthmus"}[1m]) > 3 unless on() ALERTS',
  ]) {
    await t.notThrowsAsync(isSeen(expression));
  }
});

test('promtool: the metrics are clean, the alert rules are good, and fire when they should', async (t) => {
  const lab = await twoVpcs();
  t.teardown(() => lab.dispose());
  const [a] = isthmusFiles(lab, await generatePsk(lab));
  a.gateway['metrics'] = '127.0.0.1:9586';
  const gateway = isthmusOn(lab, 'gwa', a);
  await until('gateway A', () => gateway.output().includes('is up') || !gateway.isRunning());
  const { code, body } = await get(lab, 'gwa', 'http://127.0.0.1:9586/metrics');
  t.is(code, 200);
  const file = join(lab.directory, 'metrics.txt');
  writeFileSync(file, body);
  const checked = await lab.run('gwa', ['bash', '-c', `promtool check metrics <${file}`]);
  t.deepEqual([checked.code, checked.stdout, checked.stderr], [0, '', '']);

  await must(['promtool', 'check', 'rules', RULES]);
  await must(['promtool', 'check', 'config', join(DEPLOY, 'prometheus.example.yaml')]);
  await must(['promtool', 'test', 'rules', join(DEPLOY, 'isthmus.rules.test.yaml')]);
});

test('a reload moves the listener, ends it, and leaves it where the new place is taken; counters go on', async (t) => {
  const lab = await twoVpcs();
  t.teardown(() => lab.dispose());
  const [a, b] = isthmusFiles(lab, await generatePsk(lab));
  a.gateway['metrics'] = 9586;
  const gateway = isthmusOn(lab, 'gwa', a);
  await connected(lab, { processes: [gateway, isthmusOn(lab, 'gwb', b)] });
  const health = async (port: number): Promise<number> =>
    (await get(lab, 'gwa', `http://127.0.0.1:${port}/healthz`).catch(() => ({ code: 0 }))).code;
  const sent = async (port: number): Promise<number> => {
    const { body } = await get(lab, 'gwa', `http://127.0.0.1:${port}/metrics`);
    return Number(/^isthmus_peer_transmit_packets_total\{.*\} (\d+)$/m.exec(body)![1]);
  };
  t.is(await health(9586), 200);
  await pingTime(lab, { count: 5 });
  const before = await sent(9586);
  t.true(before >= 5);

  const reload = (metrics: number | undefined): void => {
    a.gateway['metrics'] = metrics;
    writeGatewayFile(lab, 'gwa', a);
    gateway.signal('SIGHUP');
  };
  reload(9587);
  await until('the new place', async () => (await health(9587)) === 200, PATIENCE);
  await until('the end of the old place', async () => (await health(9586)) === 0, PATIENCE);
  t.true((await sent(9587)) >= before);

  const taken = lab.spawn('gwa', [
    process.execPath,
    '-e',
    `require('net').createServer().listen(9588, '127.0.0.1', () => console.log('listens'))`,
  ]);
  await until('the one who has the port', () => taken.output().includes('listens'), PATIENCE);
  reload(9588);
  const refusal = /not reloaded, nothing changed: cannot listen on 127\.0\.0\.1, TCP port 9588: .*EADDRINUSE/;
  await until('the refusal', () => refusal.test(readFileSync(gateway.log, 'utf8')), PATIENCE);
  t.is(await health(9587), 200);

  reload(undefined);
  await until('the end', async () => (await health(9587)) === 0, PATIENCE);
  t.true(gateway.isRunning());
});

test('a gateway whose interface is put down says so, and comes back; and it knows how old its PSK is', async (t) => {
  const lab = await twoVpcs();
  t.teardown(() => lab.dispose());
  const [a] = isthmusFiles(lab, await generatePsk(lab));
  a.gateway['metrics'] = 9586;
  const gateway = isthmusOn(lab, 'gwa', a);
  await until('gateway A', () => gateway.output().includes('is up') || !gateway.isRunning());
  const health = async (): Promise<number> => (await get(lab, 'gwa', 'http://127.0.0.1:9586/healthz')).code;
  const name = String(a.gateway['interface']);
  await lab.ip('gwa', 'link', 'set', name, 'down');
  await until('503', async () => (await health()) === 503, PATIENCE);
  t.regex((await get(lab, 'gwa', 'http://127.0.0.1:9586/metrics')).body, /^isthmus_listening 0$/m);
  await lab.ip('gwa', 'link', 'set', name, 'up');
  await until('200', async () => (await health()) === 200, PATIENCE);

  const age = async (): Promise<number> => {
    const { body } = await get(lab, 'gwa', 'http://127.0.0.1:9586/metrics');
    return Number(/^isthmus_peer_psk_age_seconds\{peer="vpc-b"\} (\d+)$/m.exec(body)![1]);
  };
  t.true((await age()) < 3600);
  const year = 365 * 86_400;
  const written = Date.now() / 1000 - 2 * year;
  utimesSync(join(lab.directory, 'gwa.yaml'), written, written);
  gateway.signal('SIGHUP');
  await until('the age of the file', async () => (await age()) >= 2 * year, PATIENCE);
});
