import { readFileSync } from 'node:fs';
import test from 'ava';
import { METRICS } from '../../src/observe/metric-table.ts';
import { expose, MAX_PEERS, MAX_RULES } from '../../src/observe/metrics.ts';
import { formatFor } from '../../src/observe/metrics-server.ts';
import type { Format } from '../../src/observe/metrics-server.ts';
import { observed, PEER, RULE } from './samples.ts';

const ROOT = new URL('../../../', import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, ROOT), 'utf8');

/** Lines of a scrape that begin a metric's samples. */
async function samples(name: string, status = {}, openMetrics = false): Promise<string[]> {
  const { text } = await expose(observed(status), openMetrics);
  return text.split('\n').filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
}

test('a scrape has each number of the status under its name, with its labels', async (t) => {
  const { contentType, text } = await expose(observed(), false);
  t.is(contentType, 'text/plain; version=0.0.4; charset=utf-8');
  for (const line of [
    `isthmus_build_info{version="1.2.3",node="${process.versions.node}",aead="ipsec-mb avx512"} 1`,
    'isthmus_gateway_info{gateway="ningxia",interface="ist0"} 1',
    'isthmus_listening 1',
    'isthmus_uptime_seconds 100',
    'isthmus_mtu_bytes 1420',
    'isthmus_peers 1',
    'isthmus_drops_total{reason="no-route"} 0',
    'isthmus_drops_total{reason="acl-default"} 5',
    'isthmus_local_receive_bytes_total 5000',
    'isthmus_local_transmit_bytes_total 6000',
    'isthmus_local_receive_packets_total 50',
    'isthmus_local_transmit_packets_total 60',
    'isthmus_transit_queue_bytes 640',
    'isthmus_flow_table_flows 17',
    'isthmus_flow_table_capacity_flows 1024',
    'isthmus_peer_up{peer="beijing"} 1',
    'isthmus_peer_endpoint_known{peer="beijing"} 1',
    'isthmus_peer_roams_total{peer="beijing"} 1',
    'isthmus_peer_session_info{peer="beijing",cipher="aes-256-gcm"} 1',
    'isthmus_peer_handshake_age_seconds{peer="beijing"} 12',
    'isthmus_peer_handshakes_total{peer="beijing"} 3',
    'isthmus_peer_handshake_initiations_total{peer="beijing"} 4',
    'isthmus_peer_clock_skew_seconds{peer="beijing"} 0.1',
    'isthmus_peer_psk_age_seconds{peer="beijing"} 86400',
    'isthmus_peer_receive_bytes_total{peer="beijing"} 4503599627370497',
    'isthmus_peer_transmit_bytes_total{peer="beijing"} 2000',
    'isthmus_peer_receive_packets_total{peer="beijing"} 30',
    'isthmus_peer_transmit_packets_total{peer="beijing"} 40',
    'isthmus_peer_drops_total{peer="beijing",reason="acl-default"} 5',
    'isthmus_path_up{peer="beijing",bundle="north"} 1',
    'isthmus_path_in_use{peer="beijing",bundle="north"} 1',
    'isthmus_path_rtt_seconds{peer="beijing",bundle="north"} 0.0125',
    'isthmus_path_jitter_seconds{peer="beijing",bundle="north"} 0.0005',
    'isthmus_path_loss_ratio{peer="beijing",bundle="north"} 0.25',
    'isthmus_rule_hits_total{acl="web",rule="https",action="allow"} 6',
    'isthmus_rule_denied_total{acl="web",rule="https",action="allow"} 0',
    'isthmus_thread_cpu_seconds_total{thread="outbound"} 1.25',
    'isthmus_thread_cpu_seconds_total{thread="main"} 0.25',
    'isthmus_thread_batches_total{thread="inbound"} 20',
    'isthmus_thread_batch_entries_total{thread="inbound"} 35',
    'isthmus_main_thread_delay_seconds 0.0005',
    'isthmus_metrics_left_out{kind="peers"} 0',
    'isthmus_metrics_left_out{kind="rules"} 0',
    'process_cpu_seconds_total 4',
    'process_max_fds +Inf',
  ]) {
    t.true(text.split('\n').includes(line), `${line}\n${text}`);
  }
  t.false(text.includes(PEER.public_key));
});

test('every metric has its HELP and TYPE, and nothing else is there', async (t) => {
  const { text } = await expose(observed(), false);
  const [helps, types] = ['HELP', 'TYPE'].map((kind) =>
    Array.from(text.matchAll(new RegExp(`^# ${kind} (\\S+) (.*)$`, 'gm')), ([, name, rest]) => [name, rest]),
  );
  t.deepEqual(
    helps,
    Object.entries(METRICS).map(([name, { help }]) => [name, help]),
  );
  t.deepEqual(
    types,
    Object.entries(METRICS).map(([name, { type }]) => [name, type]),
  );
  const known = new Set(Object.keys(METRICS));
  for (const line of text.split('\n').filter((each) => each !== '' && !each.startsWith('#'))) {
    t.true(known.has(/^\w+/.exec(line)![0]), line);
  }
});

test('names and units follow the conventions of Prometheus', (t) => {
  for (const [name, { type, help }] of Object.entries(METRICS)) {
    t.regex(name, /^(isthmus|process|nodejs)(_[a-z]+)+$/);
    t.is(name.endsWith('_total'), type === 'counter', name);
    t.notRegex(name, /_(ms|milliseconds|kb|percent|bits|count|sum|bucket)(_|$)/);
    t.regex(help, /\.$/, name);
  }
});

test('OpenMetrics: its content type, counters by their family, and the mark at the end', async (t) => {
  const { contentType, text } = await expose(observed(), true);
  t.is(contentType, 'application/openmetrics-text; version=1.0.0; charset=utf-8');
  t.true(text.endsWith('\n# EOF\n'));
  t.true(text.includes('# TYPE isthmus_peer_receive_bytes counter\n'));
  t.true(text.includes('isthmus_peer_receive_bytes_total{peer="beijing"} 4503599627370497\n'));
  t.false(text.includes('\n\n'));
});

test('a client has OpenMetrics if it wants that at least as much', (t) => {
  const prometheus =
    'application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1';
  const wishes: readonly (readonly [string, Format])[] = [
    ['', 'text'],
    ['*/*', 'text'],
    ['text/html, text/plain', 'text'],
    [prometheus, 'openMetrics'],
    ['Application/OpenMetrics-Text', 'openMetrics'],
    ['text/plain, application/openmetrics-text; q=0.5', 'text'],
    ['application/openmetrics-text;q=0', 'text'],
    ['application/openmetrics-text;q=nonsense, text/plain;q=0.1', 'text'],
    [','.repeat(1000), 'text'],
  ];
  for (const [accept, format] of wishes) {
    t.is(formatFor(accept), format, accept);
  }
});

test('what is not known has no series rather than a number of its own', async (t) => {
  const peer = { ...PEER, endpoint: null, cipher: null, last_handshake_s: null, drops: {} };
  const { text } = await expose(observed({ peers: [peer], listening: false }), false);
  t.true(text.includes('\nisthmus_listening 0\n'));
  t.true(text.includes('\nisthmus_peer_up{peer="beijing"} 0\n'));
  t.true(text.includes('\nisthmus_peer_endpoint_known{peer="beijing"} 0\n'));
  for (const name of ['handshake_age_seconds', 'session_info', 'drops_total'])
    t.notRegex(text, new RegExp(`^isthmus_peer_${name}[{ ]`, 'm'));
});

test('a path that is not up, without probes; and a peer in no bundle', async (t) => {
  const path = { bundle: 'north', state: 'damped', in_use: false, rtt_ms: null, jitter_ms: null, loss: null } as const;
  const { text } = await expose(observed({ peers: [{ ...PEER, path }] }), false);
  const shown = text.split('\n').filter((line) => line.startsWith('isthmus_path_'));
  const labels = '{peer="beijing",bundle="north"}';
  t.deepEqual(shown, [`isthmus_path_up${labels} 0`, `isthmus_path_in_use${labels} 0`]);
  const none = await expose(observed({ peers: [{ ...PEER, path: null }] }), false);
  t.notRegex(none.text, /^isthmus_path_/m);
});

test('a shaped direction has its rate, and each class what it carried, held back and dropped', async (t) => {
  const counts = { packets: 7, bytes: 9000, delayed: 3, drops: 2, queued_bytes: 1500 };
  const bulk = { name: 'bulk', priority: 8, weight: 1, rate_bit: null, ...counts };
  const rest = { ...bulk, name: '(default)', queued_bytes: 0 };
  const shape = [{ direction: 'out', rate_bit: 8e6, burst_bytes: 65_536, classes: [bulk, rest] }] as const;
  const { text } = await expose(observed({ peers: [{ ...PEER, shape }] }), false);
  const labels = '{peer="beijing",direction="out",class="bulk"}';
  for (const line of [
    'isthmus_shape_rate_bytes_per_second{peer="beijing",direction="out"} 1000000',
    `isthmus_shape_class_packets_total${labels} 7`,
    `isthmus_shape_class_bytes_total${labels} 9000`,
    `isthmus_shape_class_delayed_packets_total${labels} 3`,
    `isthmus_shape_class_dropped_packets_total${labels} 2`,
    `isthmus_shape_class_queued_bytes${labels} 1500`,
    'isthmus_shape_class_queued_bytes{peer="beijing",direction="out",class="(default)"} 0',
  ]) {
    t.true(text.split('\n').includes(line), `${line}\n${text}`);
  }
});

test('rules of lists of three kinds that share a name, in two directions, have series of their own', async (t) => {
  const networkAcl = { ...RULE, kind: 'network-acl', name: '100', line: 0 } as const;
  const rules = [
    RULE,
    { ...RULE, kind: 'security-group', direction: 'in', hits: 1 },
    { ...networkAcl, direction: 'in', hits: 2 },
    { ...networkAcl, direction: 'out', hits: 3 },
  ] as const;
  t.deepEqual(await samples('isthmus_rule_hits_total', { rules }), [
    'isthmus_rule_hits_total{acl="web",rule="https",action="allow"} 6',
    'isthmus_rule_hits_total{acl="web",rule="https",action="allow",kind="security-group",direction="in"} 1',
    'isthmus_rule_hits_total{acl="web",rule="100",action="allow",kind="network-acl",direction="in"} 2',
    'isthmus_rule_hits_total{acl="web",rule="100",action="allow",kind="network-acl",direction="out"} 3',
  ]);
});

test('a peer is up for 180 s from its last handshake, and no age is below 0', async (t) => {
  const at = (last_handshake_s: number) => ({ peers: [{ ...PEER, last_handshake_s }] });
  t.deepEqual(await samples('isthmus_peer_up', at(179)), ['isthmus_peer_up{peer="beijing"} 1']);
  t.deepEqual(await samples('isthmus_peer_up', at(180)), ['isthmus_peer_up{peer="beijing"} 0']);
  const age = 'isthmus_peer_handshake_age_seconds';
  t.deepEqual(await samples(age, at(-5)), [`${age}{peer="beijing"} 0`]);
});

test('label values are escaped, in both formats', async (t) => {
  const name = 'a"b\\c\nd';
  for (const openMetrics of [false, true]) {
    const [sample] = await samples('isthmus_peer_up', { peers: [{ ...PEER, name }] }, openMetrics);
    t.is(sample, String.raw`isthmus_peer_up{peer="a\"b\\c\nd"} 1`);
  }
});

test('the series of peers and rules are bounded, and it is counted what that leaves out', async (t) => {
  const peers = Array.from({ length: MAX_PEERS + 3 }, (_, number) => ({ ...PEER, name: `peer-${number}` }));
  const rules = Array.from({ length: MAX_RULES + 2 }, (_, number) => ({ ...RULE, name: `rule-${number}` }));
  const status = { peers, rules };
  t.is((await samples('isthmus_peer_up', status)).length, MAX_PEERS);
  t.is((await samples('isthmus_rule_hits_total', status)).length, MAX_RULES);
  t.deepEqual(await samples('isthmus_metrics_left_out', status), [
    'isthmus_metrics_left_out{kind="peers"} 3',
    'isthmus_metrics_left_out{kind="rules"} 2',
  ]);
  t.deepEqual(await samples('isthmus_peers', status), [`isthmus_peers ${MAX_PEERS + 3}`]);
});

test('docs/metrics.md shows the table of metrics', (t) => {
  const rows = read('docs/metrics.md')
    .split('\n')
    .filter((line) => /^\| `(isthmus|process|nodejs)_/.test(line))
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
  t.deepEqual(
    rows,
    Object.entries(METRICS).map(([name, { type, labels, help }]) => [
      `\`${name}\``,
      type,
      labels.map((label) => `\`${label}\``).join(', '),
      help,
    ]),
  );
});
