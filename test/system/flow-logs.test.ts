import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { stringify } from 'yaml';
import { flowLogFormat } from '../../src/control/config-flow-logs.ts';
import { DEFAULT_FLOW_FORMAT } from '../../src/gateway/flow-fields.ts';
import type { FlowsAnswer } from '../../src/gateway/flow-top.ts';
import { parseFlowRecord, type FlowRecord } from '../../src/observe/flow-log-format.ts';
import {
  ISTHMUS,
  connected,
  gatewayStatus,
  generatePsk,
  interfaceName,
  isthmusFiles,
  isthmusOn,
  ruleOf,
  writePrivate,
} from '../lab/contenders.ts';
import { iperf3, pingTime } from '../lab/iperf3.ts';
import { knock } from '../lab/knock.ts';
import { until } from '../lab/process.ts';
import { A, B, twoVpcs } from '../lab/two-vpcs.ts';

const ALL = flowLogFormat('all');

function records(path: string, fields = ALL): FlowRecord[] {
  const lines = existsSync(path) ? readFileSync(path, 'utf8').trimEnd().split('\n') : [];
  return lines.map((line) => {
    const record = parseFlowRecord(line, fields);
    if (record === undefined) throw new Error(`no record: ${line}`);
    return record;
  });
}

const sum = (of: FlowRecord[], field: 'packets' | 'bytes'): number =>
  of.reduce((total, record) => total + Number(record[field] ?? 0), 0);

test('flow logs of a running gateway: to a file that is renamed, and to a command; isthmus flows', async (t) => {
  const lab = await twoVpcs();
  t.teardown(() => lab.dispose());
  const [a, b] = isthmusFiles(lab, await generatePsk(lab));
  a.acls['open'].unshift({ name: 'no-telnet', action: 'deny', protocol: 'tcp', ports: 23 });
  const [path, piped] = [join(lab.directory, 'flows.log'), join(lab.directory, 'piped.log')];
  const log = { to: { file: path }, format: 'all', interval: '60s' };
  const command = { to: { command: ['sh', '-c', 'cat > "$0"', piped] }, interval: '60s', traffic: 'reject' };
  const file = { ...a, gateway: { ...a.gateway, flow_logs: [log] } };
  const config = writePrivate(lab, 'a.yaml', stringify(file));
  const running = lab.spawn('gwa', [...ISTHMUS, 'up', config]);
  await connected(lab, { processes: [running, isthmusOn(lab, 'gwb', b)] });
  await pingTime(lab, { count: 3 });
  await pingTime(lab, { count: 3, family: 6 });
  const { forward } = await iperf3(lab, { seconds: 1, direction: 'forward' });
  const refuse = async (times: number): Promise<void> => {
    await knock(lab, 'a', B[4], 23);
    await until('the refusal', async () => (await ruleOf(lab, 'a', 'no-telnet')).denied >= times);
  };
  await refuse(1);

  // isthmus flows, as people and as scripts ask.
  const name = interfaceName(lab, 'a');
  const flows = async (...more: string[]): Promise<FlowsAnswer> =>
    JSON.parse(await lab.must('gwa', [...ISTHMUS, 'flows', name, '--json', ...more])) as FlowsAnswer;
  const text = await lab.must('gwa', [...ISTHMUS, 'flows', name, '--top', '3']);
  t.regex(text, /^peering +dir +proto +source +destination +verdict +packets +bytes +rate$/m);
  t.regex(
    text,
    new RegExp(`^vpc-b +out +tcp +${A[4]}:\\d+ +${B[4]}:5201 +accept +\\d+ +\\d+ +[\\d.]+ [kMG]bit/s$`, 'm'),
  );
  t.regex(text, /^3 of \d+ flows, \d+ packets, \d+ bytes in \d+ s$/m);
  const [busiest] = (await flows('--protocol', 'tcp', '--port', '5201', '--sort', 'rate')).flows;
  t.like(busiest, { source: A[4], destination: B[4], destination_port: 5201, direction: 'out', action: 'accept' });
  t.true(busiest.bytes > forward!.bytes);
  t.like((await flows('--port', '23')).flows[0], { action: 'reject', drop_reason: 'acl-rule', rule: 'open/no-telnet' });
  t.is((await flows('--address', '10.99.0.0/16')).matched, 0);
  const pieces = await flows('--top', '1');
  t.is(pieces.next, 1);
  const wrong = await lab.run('gwa', [...ISTHMUS, 'flows', name, '--sort', 'size']);
  t.is(wrong.code, 64);
  t.regex(wrong.stderr, /sort: is "size"; wanted bytes or packets or rate/);

  // A reload that changes flow logs ends an interval; nothing of it is lost.
  const before = (await gatewayStatus(lab, 'a')).peers[0];
  writeFileSync(config, stringify({ ...file, gateway: { ...file.gateway, flow_logs: [log, command] } }));
  running.signal('SIGHUP');
  const passing = (direction: 'egress' | 'ingress'): FlowRecord[] =>
    records(path).filter((record) => record.action === 'ACCEPT' && record['flow-direction'] === direction);
  // An interval also ends with each minute of the clock, which may have been one before the reload.
  for (const [direction, least] of [
    ['egress', before.tx_packets],
    ['ingress', before.rx_packets],
  ] as const) {
    await until(`${least} packets of ${direction}`, () => sum(passing(direction), 'packets') >= least);
  }
  await until('the refusal', () => records(path).some(({ action }) => action === 'REJECT'));
  const [egress, ingress] = [passing('egress'), passing('ingress')].map((each) => sum(each, 'packets'));
  const after = (await gatewayStatus(lab, 'a')).peers[0];
  t.true(egress <= after.tx_packets && ingress <= after.rx_packets, `${egress} and ${ingress} packets`);

  // As logrotate does: what comes next is written to a new file.
  renameSync(path, `${path}.1`);
  const seen = records(`${path}.1`);
  const passed = seen.filter(({ action }) => action === 'ACCEPT');
  t.true(
    sum(
      passed.filter(({ dstport }) => dstport === 5201),
      'bytes',
    ) > forward!.bytes,
  );
  const expected = { version: 5, 'interface-id': name, peering: 'vpc-b', 'log-status': 'OK' };
  const found = (of: FlowRecord): FlowRecord | undefined =>
    seen.find((record) => Object.entries(of).every(([key, value]) => record[key as keyof FlowRecord] === value));
  t.truthy(found({ ...expected, srcaddr: A[4], dstaddr: B[4], protocol: 1, srcport: 0, dstport: 0, action: 'ACCEPT' }));
  t.truthy(found({ ...expected, srcaddr: B[4], dstaddr: A[4], protocol: 1, 'flow-direction': 'ingress' }));
  t.truthy(found({ ...expected, srcaddr: A[6], dstaddr: B[6], protocol: 58, type: 'IPv6' }));
  // A connection may end by RST too, so flags are asked for that must be there: SYN and FIN; SYN-ACK of the one that is called.
  const flagsOf = (of: FlowRecord): number =>
    seen
      .filter((record) => Object.entries(of).every(([key, value]) => record[key as keyof FlowRecord] === value))
      .reduce((flags, record) => flags | Number(record['tcp-flags']), 0);
  t.is(flagsOf({ ...expected, dstport: 5201, rule: 'open/all' }) & 3, 1 | 2, readFileSync(`${path}.1`, 'utf8'));
  t.is(flagsOf({ ...expected, srcport: 5201 }) & 18, 18);
  t.truthy(found({ ...expected, dstport: 23, action: 'REJECT', 'drop-reason': 'acl-rule', rule: 'open/no-telnet' }));

  // The end of the gateway writes the last interval.
  await refuse(2);
  await pingTime(lab, { count: 2 });
  t.is(await running.stop(), 0);
  t.deepEqual(records(`${path}.1`), seen);
  const last = records(path);
  t.true(last.some(({ protocol, action }) => protocol === 1 && action === 'ACCEPT'));
  t.true(last.some(({ dstport, action }) => dstport === 23 && action === 'REJECT'));
  await until('the command to have read all', () => existsSync(piped) && readFileSync(piped, 'utf8').endsWith('\n'));
  const refused = records(piped, DEFAULT_FLOW_FORMAT);
  t.true(refused.some(({ dstport }) => dstport === 23));
  t.true(refused.every(({ action }) => action === 'REJECT'));
});

test('isthmus flows without a flow log: flows are noted from the first question on', async (t) => {
  const lab = await twoVpcs();
  t.teardown(() => lab.dispose());
  const [a, b] = isthmusFiles(lab, await generatePsk(lab));
  await connected(lab, { processes: [isthmusOn(lab, 'gwa', a), isthmusOn(lab, 'gwb', b)] });
  const pings = lab.spawn('a', ['ping', '-i', '0.2', B[4]]);
  await until('a ping', () => pings.output().includes('icmp_seq='));
  const text = await lab.must('gwa', [...ISTHMUS, 'flows', interfaceName(lab, 'a')]);
  t.regex(text, new RegExp(`^vpc-b +out +icmp +${A[4]} +${B[4]} +accept `, 'm'));
  t.regex(text, new RegExp(`^vpc-b +in +icmp +${B[4]} +${A[4]} +accept `, 'm'));
  await pings.stop();
});
