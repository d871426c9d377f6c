import {
  existsSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import type { FlowLogConfig, FlowLogTarget } from '../../src/gateway/config.ts';
import { DEFAULT_FLOW_FORMAT } from '../../src/gateway/flow-fields.ts';
import type { FlowQuery } from '../../src/gateway/flow-top.ts';
import { FlowWatch } from '../../src/gateway/flow-watch.ts';
import { formatFault, readConfig } from '../../src/control/config.ts';
import { flowLogFormat } from '../../src/control/config-flow-logs.ts';
import { Rules } from '../../src/gateway/rules.ts';
import { openFlowOutput } from '../../src/observe/flow-log-outputs.ts';
import { FlowLogs } from '../../src/observe/flow-logs.ts';
import { parsePrefix } from '../../src/routing/prefix.ts';
import { ENVIRONMENT, inMemory } from '../control/config-samples.ts';
import { joined, rule, type Options } from '../dataplane/gateways.ts';
import { seeded } from '../session/world.ts';
import { echo, ip, tcp, udp } from '../wire/packets.ts';

/** A whole number of ten minutes. */
const EPOCH = 1_795_269_000;
const SEED = 31;

/** Gateway `b` of two, whose flows are watched, in virtual time; its peer in slot 0 is called `vpc-a`. */
function watched(t: ExecutionContext, options: Options = {}, capacity = 1024) {
  const { underlay, a, b } = joined(options);
  const directory = mkdtempSync(join(tmpdir(), 'flow-logs-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const warnings: string[] = [];
  const began = underlay.now;
  const wallClock = (): number => EPOCH * 1000 + underlay.now - began;
  const log = {
    debug: () => undefined,
    info: () => undefined,
    warn: () => undefined,
    error: (text: string) => t.fail(text),
  };
  const watch = new FlowWatch({
    tunnel: {
      setFlowLog: (tables) => {
        b.outbound.apply({ type: 'flowLog', into: tables?.outbound });
        b.inbound.apply({ type: 'flowLog', into: tables?.inbound });
      },
      setFlowRules: (base) => {
        for (const direction of [b.outbound, b.inbound]) direction.apply({ type: 'flowRules', base });
      },
    },
    sink: new FlowLogs((text) => warnings.push(text), wallClock),
    capacity,
    log,
    wallClock,
    bootClock: () => underlay.now,
  });
  watch.name(0, 'vpc-a');
  const path = join(directory, 'flows.log');
  return {
    a,
    b,
    watch,
    warnings,
    directory,
    path,
    underlay,
    read: (file = path) => (existsSync(file) ? readFileSync(file, 'utf8').split('\n').slice(0, -1) : []),
    /** Lets seconds go by; what the ticker does is done once. */
    pass: async (seconds: number) => {
      underlay.run(seconds * 1000);
      await watch.tick();
    },
    /** From behind `a` to behind `b`. */
    send: (...packets: Uint8Array[]) => {
      a.send(...packets);
      underlay.run(5);
    },
  };
}

function flowLog(to: FlowLogTarget | string, more: Partial<FlowLogConfig> = {}): FlowLogConfig {
  const target: FlowLogTarget = typeof to === 'string' ? { kind: 'file', path: to, maxBytes: 1 << 30, keep: 2 } : to;
  const usual = { format: DEFAULT_FLOW_FORMAT, interval: 60, traffic: 'all', peerings: [], values: {} } as const;
  return { to: target, ...usual, ...more };
}

const dns = (port: number, data = 8): Uint8Array => ip('172.31.0.1', '192.168.0.1', 17, udp(port, 53, data));

test('One record per direction, flow and interval (600 s or 60 s): start and end are the first and last packet seen', async (t) => {
  const { b, watch, read, pass, send, directory, underlay } = watched(t);
  const [minute, tenMinutes] = [join(directory, '60'), join(directory, '600')];
  await watch.configure([flowLog(minute), flowLog(tenMinutes, { interval: 600 })], 'ist0');
  for (let each = 0; each < 10; each++) {
    await pass(10);
    send(dns(1000));
    b.send(ip('192.168.0.1', '172.31.0.1', 17, udp(53, 1000, 100)));
    underlay.run(20_000);
    send(dns(1000), dns(1000));
    await pass(30);
  }
  const lines = read(minute);
  t.is(lines.length, 20);
  for (const [number, line] of lines.entries()) {
    const start = EPOCH + 60 * (number >> 1);
    const out = number % 2 === 0;
    const [from, to, first, last] = line.split(' ').filter((_, place) => [3, 4, 10, 11].includes(place));
    t.is(from, out ? '192.168.0.1' : '172.31.0.1');
    t.is(to, out ? '172.31.0.1' : '192.168.0.1');
    t.true(Math.abs(Number(first) - start - 10) <= 1, line);
    t.true(Math.abs(Number(last) - start - (out ? 10 : 30)) <= 1, line);
    t.regex(line, out ? / 53 1000 17 1 128 .* ACCEPT OK$/ : / 1000 53 17 3 108 .* ACCEPT OK$/);
  }
  const sums = read(tenMinutes);
  t.is(sums.length, 2);
  t.regex(sums[0], /^2 - ist0 192\.168\.0\.1 172\.31\.0\.1 53 1000 17 10 1280 \d+ \d+ ACCEPT OK$/);
  t.regex(sums[1], /^2 - ist0 172\.31\.0\.1 192\.168\.0\.1 1000 53 17 30 1080 \d+ \d+ ACCEPT OK$/);
});

test('log-status OK, NODATA: an interval without flows has one record', async (t) => {
  const { watch, read, path, pass, send } = watched(t);
  await watch.configure([flowLog(path, { values: { 'account-id': '123456789012' } })], 'ist0');
  await pass(60);
  t.deepEqual(read(), [`2 123456789012 ist0 - - - - - - - ${EPOCH} ${EPOCH + 60} - NODATA`]);
  send(dns(1));
  await pass(60);
  t.is(read().length, 2);
  t.regex(read()[1], /ACCEPT OK$/);
});

test('log-status SKIPDATA: more flows than there is room for', async (t) => {
  const { watch, read, path, pass, send } = watched(t, {}, 8);
  await watch.configure([flowLog(path)], 'ist0');
  send(...Array.from({ length: 20 }, (_, number) => dns(1000 + number)));
  await pass(60);
  t.is(read().length, 9);
  t.is(read()[8], `2 - ist0 - - - - - - - ${EPOCH} ${EPOCH + 60} - SKIPDATA`);
  send(dns(1));
  await pass(60);
  t.regex(read()[9], /ACCEPT OK$/);
  t.is(read().length, 10);
});

test("action ACCEPT or REJECT, with our fields: peering, rule, drop reason; ICMP's ports are 0", async (t) => {
  const acls = [{ rules: [rule({ protocol: 17 }), rule({ action: 'deny', protocol: 6 })], otherwise: 'deny' } as const];
  const { watch, a, b, path, directory, pass, underlay, read } = watched(t, { acls });
  a.judge([{ rules: [], otherwise: 'allow' }]);
  watch.changeRules(['web/dns', 'web/no-tcp'], () => b.judge([...acls]));
  const format = flowLogFormat('${srcport} ${dstport} ${protocol} ${action} ${peering} ${rule} ${drop-reason} ${nat}');
  const others = ['accept', 'reject', 'elsewhere'].map((name) => join(directory, name));
  await watch.configure(
    [
      flowLog(path, { format }),
      flowLog(others[0], { format, traffic: 'accept' }),
      flowLog(others[1], { format, traffic: 'reject', peerings: ['vpc-a'] }),
      flowLog(others[2], { format, peerings: ['vpc-z'] }),
    ],
    'ist0',
  );
  a.send(dns(7), ip('172.31.0.1', '192.168.0.1', 6, tcp(9, 23, 2)), ip('172.31.0.1', '192.168.0.1', 1, echo(8, 5)));
  b.send(ip('192.168.0.1', '10.99.0.1', 17, udp(1, 2)));
  underlay.run(5);
  // A reload gives the rules other numbers; what they decided before keeps its name.
  watch.changeRules(['new/first', 'web/dns'], () => b.judge([...acls]));
  a.send(ip('172.31.0.1', '192.168.0.1', 17, udp(8, 99)));
  await pass(60);
  const accepted = ['7 53 17 ACCEPT vpc-a web/dns - -', '8 99 17 ACCEPT vpc-a new/first - -'];
  const rejected = [
    '9 23 6 REJECT vpc-a web/no-tcp acl-rule -',
    '0 0 1 REJECT vpc-a - acl-default -',
    '1 2 17 REJECT - - no-route -',
  ];
  t.deepEqual(read().sort(), [...accepted, ...rejected].sort());
  t.deepEqual(read(others[0]).sort(), accepted);
  t.deepEqual(read(others[1]).sort(), rejected.slice(0, 2).sort());
  t.deepEqual(read(others[2]), ['- - - - - - - -']);
});

test('security groups and network ACLs: the log and the hits name the rule that decided', async (t) => {
  const text = `
gateway: { name: b, subnets: [192.168.0.0/16], security_groups: hosts }
peerings:
  - { name: vpc-a, role: client, psk: { env: PSK }, subnets: [172.31.0.0/16], network_acl: edge }
security_groups:
  hosts:
    ingress:
      - { name: dns, source: 172.31.0.0/16, protocol: udp, ports: 53 }
      - { source: 172.31.0.0/16, protocol: tcp, ports: 23 }
network_acls:
  edge:
    ingress:
      - { rule: 90, action: deny, protocol: tcp, cidr: 172.31.0.0/16, ports: 23 }
      - { rule: 100, action: allow, protocol: udp, cidr: 172.31.0.0/16 }
    egress: [{ rule: 100, action: allow, cidr: 0.0.0.0/0, protocol: udp, ports: 1024-65535 }]
`;
  const result = readConfig(inMemory(text), ENVIRONMENT);
  if (!('config' in result)) return t.fail(result.faults.map(formatFault).join('\n'));
  const rules = new Rules(result.config);
  const { watch, a, b, path, pass, underlay, read } = watched(t);
  // One thread here does what two do elsewhere, so it counts for both.
  watch.changeRules(rules.names(), () => b.judgeBy(rules.program, rules.inbound));
  const format = flowLogFormat('${flow-direction} ${srcport} ${dstport} ${action} ${rule} ${drop-reason}');
  await watch.configure([flowLog(path, { format })], 'ist0');
  a.send(
    dns(2000),
    dns(9),
    ip('172.31.0.1', '192.168.0.1', 17, udp(3000, 54)),
    ip('172.31.0.1', '192.168.0.1', 6, tcp(7, 23, 2)),
    ip('172.31.0.1', '192.168.0.1', 6, tcp(7, 80, 2)),
  );
  underlay.run(5);
  // The group lets answers by; the network ACL has no rule for one of them.
  b.send(ip('192.168.0.1', '172.31.0.1', 17, udp(53, 2000)), ip('192.168.0.1', '172.31.0.1', 17, udp(53, 9)));
  underlay.run(5);
  await pass(60);
  t.deepEqual(
    read().sort(),
    [
      'ingress 2000 53 ACCEPT hosts/dns -',
      'ingress 9 53 ACCEPT hosts/dns -',
      'ingress 3000 54 REJECT - security-group',
      'ingress 7 23 REJECT edge/90 network-acl',
      'ingress 7 80 REJECT edge/* network-acl',
      'egress 53 2000 ACCEPT - -',
      'egress 53 9 REJECT edge/* network-acl',
    ].sort(),
  );
  const hits = rules.status().filter((each) => each.hits > 0);
  t.deepEqual(
    hits.map(({ kind, acl, name, direction, hits: count, denied }) => [kind, acl, name, direction, count, denied]),
    [
      ['security-group', 'hosts', 'dns', 'in', 2, 0],
      ['network-acl', 'edge', '90', 'in', 1, 1],
      ['network-acl', 'edge', '100', 'in', 3, 0],
      ['network-acl', 'edge', '*', 'in', 1, 1],
      ['network-acl', 'edge', '100', 'out', 1, 0],
      ['network-acl', 'edge', '*', 'out', 1, 1],
    ],
  );
});

test('a file that was renamed or removed is made anew; records survive a reload; the end writes the last interval', async (t) => {
  const { watch, read, path, pass, send } = watched(t);
  await watch.configure([flowLog(path)], 'ist0');
  t.false(existsSync(path));
  send(dns(1));
  await pass(60);
  t.is(statSync(path).mode & 0o777, 0o640);
  renameSync(path, `${path}-20261121`);
  send(dns(2));
  await pass(60);
  t.regex(read(`${path}-20261121`).join(), / 1 53 17 1 /);
  t.regex(read().join(), / 2 53 17 1 /);
  rmSync(path);
  send(dns(3));
  await watch.configure([flowLog(path), flowLog(`${path}.2`, { traffic: 'reject' })], 'ist0');
  t.regex(read().join(), / 3 53 17 1 /);
  send(dns(4));
  await watch.configure([flowLog(path), flowLog(`${path}.2`, { traffic: 'reject' })], 'ist0');
  t.is(read().length, 1);
  await watch.close();
  t.is(read().length, 2);
  t.regex(read()[1], / 4 53 17 1 /);
  t.regex(read(`${path}.2`).join(), /NODATA$/);
});

test('a file that grows beyond its size is rotated, and so many are kept', async (t) => {
  const { watch, read, path, pass, send, directory } = watched(t);
  await watch.configure([flowLog({ kind: 'file', path, maxBytes: 200, keep: 2 })], 'ist0');
  for (let minute = 0; minute < 8; minute++) {
    send(dns(1 + minute));
    await pass(60);
  }
  t.deepEqual(readdirSync(directory).sort(), ['flows.log', 'flows.log.1', 'flows.log.2']);
  const ports = ['.2', '.1', ''].flatMap((end) => read(path + end).map((line) => line.split(' ')[5]));
  t.deepEqual(ports, ['3', '4', '5', '6', '7', '8']);
});

test('a file that can not be written: SKIPDATA once it can', async (t) => {
  const { watch, read, pass, send, path, warnings } = watched(t);
  const blocked = join(path, 'flows.log');
  writeFileSync(path, '');
  await watch.configure([flowLog(blocked)], 'ist0');
  send(dns(1));
  await pass(60);
  await pass(60);
  t.is(warnings.length, 1);
  t.regex(warnings[0], /records are lost$/);
  rmSync(path);
  await pass(60);
  t.deepEqual(read(blocked), [`2 - ist0 - - - - - - - ${EPOCH} ${EPOCH + 180} - SKIPDATA`]);
});

test('a command that ends is started again, after a while; what was lost shows as SKIPDATA', async (t) => {
  const { watch, read, path, directory, pass, send, underlay, warnings } = watched(t);
  const out = join(directory, 'out');
  // At first it reads one line only.
  const script = 'if test -e "$0"; then exec cat >> "$0"; else head -n 1 > "$0"; fi';
  const command = flowLog({ kind: 'command', argv: ['sh', '-c', script, out] });
  await watch.configure([command], 'ist0');
  send(dns(1));
  await pass(60);
  while (warnings.length === 0) await nextTurn();
  t.is(read(out).length, 1);
  t.is(warnings[0], 'flow log to sh: it ended with code 0; it is started again, not before 1 s');
  // This interval ends at once.
  send(dns(2));
  await watch.configure([command, flowLog(path)], 'ist0');
  underlay.run(2000);
  send(dns(3));
  await pass(58);
  await watch.close();
  t.is(warnings.length, 1);
  const lines = read(out);
  t.is(lines.length, 4, 'the last of an interval without flows, at the end');
  t.regex(lines[0], / 1 53 17 1 .* OK$/);
  t.regex(lines[1], / 3 53 17 1 .* OK$/);
  t.is(lines[2], `2 - ist0 - - - - - - - ${EPOCH + 60} ${EPOCH + 120} - SKIPDATA`);
});

test('a command reads all, to its end', async (t) => {
  const { watch, read, directory, pass, send } = watched(t);
  const out = join(directory, 'out');
  await watch.configure([flowLog({ kind: 'command', argv: ['sh', '-c', 'cat > "$0"', out] })], 'ist0');
  send(dns(1));
  await pass(60);
  send(dns(2), dns(3));
  await watch.close();
  t.deepEqual(
    read(out).map((line) => line.split(' ')[5]),
    ['1', '2', '3'],
  );
});

test('a command is written to for days, and each write leaves nothing behind', async (t) => {
  const leaks: Error[] = [];
  const note = (warning: Error): void => void leaks.push(warning);
  process.on('warning', note);
  t.teardown(() => process.off('warning', note));
  const output = openFlowOutput(
    { kind: 'command', argv: ['cat'] },
    (text) => t.fail(text),
    () => 0,
  );
  for (let interval = 0; interval < 20; interval++) t.true(await output.write('a record\n'));
  await nextTurn();
  t.deepEqual(leaks, []);
  await output.close();
});

const QUERY: FlowQuery = { sort: 'bytes', limit: 10, cursor: 0 };

test(`top talkers: sorted, in pieces, filtered, and added up over the end of a period (seed ${SEED})`, async (t) => {
  const { watch, a, b, pass, underlay } = watched(t);
  t.like(await watch.top(QUERY), { matched: 0, watched_s: 0, flows: [], next: null });
  const bytes = new Map<number, number>();
  const random = seeded(SEED);
  for (let round = 0; round < 400; round++) {
    if (round === 250) await watch.top(QUERY).then(() => pass(60));
    const [port, size] = random(2);
    const packet = dns(1 + (port & 63), size);
    bytes.set(1 + (port & 63), (bytes.get(1 + (port & 63)) ?? 0) + packet.length);
    a.send(packet);
    underlay.run(5);
  }
  const total = [...bytes.values()].reduce((sum, each) => sum + each, 0);
  const ranked = [...bytes.values()].sort((x, y) => y - x);
  const first = await watch.top(QUERY);
  t.is(first.matched, bytes.size);
  t.is(first.bytes, total);
  t.is(first.packets, 400);
  t.deepEqual(
    first.flows.map((flow) => flow.bytes),
    ranked.slice(0, 10),
  );
  for (const flow of first.flows) t.is(flow.bytes, bytes.get(flow.source_port)!);
  t.like(first.flows[0], {
    peering: 'vpc-a',
    direction: 'in',
    protocol: 17,
    source: '172.31.0.1',
    destination: '192.168.0.1',
    destination_port: 53,
    action: 'accept',
    drop_reason: null,
  });
  t.is(first.next, 10);
  const rest = await watch.top({ ...QUERY, cursor: 10, limit: 1000 });
  t.deepEqual(
    rest.flows.map((flow) => flow.bytes),
    ranked.slice(10),
  );
  t.is(rest.next, null);

  b.send(ip('192.168.0.9', '172.31.0.1', 6, tcp(443, 5000, 18)), ip('fd00:b::9', 'fd00:a::1', 17, udp(1, 2)));
  const matched = async (filter: Partial<FlowQuery>): Promise<number> =>
    (await watch.top({ ...QUERY, ...filter })).matched;
  t.is(await matched({ protocol: 6 }), 1);
  t.is(await matched({ port: 443 }), 1);
  t.is(await matched({ port: 53 }), bytes.size);
  t.is(await matched({ address: parsePrefix('192.168.0.8/31') }), 1);
  t.is(await matched({ address: parsePrefix('172.31.0.0/16') }), bytes.size + 1);
  t.is(await matched({ address: parsePrefix('fd00:b::/64') }), 1);
  t.is(await matched({ address: parsePrefix('0.0.0.0/0') }), bytes.size + 1);
  t.is(await matched({ peering: 'vpc-z' }), 0);
  t.is((await watch.top({ ...QUERY, sort: 'packets', limit: 1 })).flows.length, 1);

  // Nobody asks any more, and there is no log: nothing is noted.
  await pass(121);
  t.like(await watch.top(QUERY), { matched: 0, watched_s: 0 });
  await watch.close();
});
