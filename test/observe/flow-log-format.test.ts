import { readFileSync } from 'node:fs';
import test from 'ava';
import { flowLogFormat } from '../../src/control/config-flow-logs.ts';
import { DEFAULT_FLOW_FORMAT, FLOW_FIELDS, FLOW_FIELD_NAMES, versionOfFormat } from '../../src/gateway/flow-fields.ts';
import type { SeenFlow } from '../../src/gateway/flow-view.ts';
import { FlowFormat, parseFlowHeader, parseFlowRecord } from '../../src/observe/flow-log-format.ts';

const FLOW: SeenFlow = {
  version: 4,
  protocol: 6,
  direction: 'in',
  source: '192.168.1.10',
  destination: '172.31.1.10',
  sourcePort: 40_000,
  destinationPort: 443,
  peering: 'beijing',
  reason: 'none',
  rule: 'web/https',
  tcpFlags: 19,
  packets: 14,
  bytes: 967,
  first: 1566933133,
  last: 1566933193,
};
const REFUSED: SeenFlow = { ...FLOW, destinationPort: 22, reason: 'acl-default', rule: undefined, tcpFlags: 2 };

const V2 =
  'version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status';

test(`v2, the default line, space-separated: ${V2}`, (t) => {
  t.is(DEFAULT_FLOW_FORMAT.join(' '), V2);
  const format = new FlowFormat(DEFAULT_FLOW_FORMAT, { 'interface-id': 'ist0' });
  t.is(format.line(FLOW), '2 - ist0 192.168.1.10 172.31.1.10 40000 443 6 14 967 1566933133 1566933193 ACCEPT OK');
});

for (const [version, fields] of [
  [3, 'vpc-id subnet-id instance-id tcp-flags type pkt-srcaddr pkt-dstaddr'],
  [4, 'region az-id sublocation-type sublocation-id'],
  [5, 'pkt-src-aws-service pkt-dst-aws-service flow-direction traffic-path'],
] as const) {
  test(`v${version} adds ${fields}`, (t) => {
    t.is(FLOW_FIELD_NAMES.filter((name) => FLOW_FIELDS[name].version === version).join(' '), fields);
  });
}

for (const [text, version] of [
  ['${srcaddr}', 2],
  ['${srcaddr} ${peering} ${nat}', 2],
  ['${tcp-flags} ${srcaddr}', 3],
  ['${region} ${type}', 4],
  ['${flow-direction} ${region} ${type}', 5],
] as const) {
  test(`A custom format's version is the highest among its fields: ${text}`, (t) => {
    t.is(versionOfFormat(flowLogFormat(text)), version);
    t.is(new FlowFormat(flowLogFormat(`\${version} ${text}`), {}).line(FLOW).split(' ')[0], String(version));
  });
}

test('a value that is not known is `-`; all fields, ours behind the standard ones', (t) => {
  const values = { 'account-id': '123456789012', 'interface-id': 'ist0', 'vpc-id': 'vpc-1', region: 'cn-north-1' };
  const format = new FlowFormat(flowLogFormat('all'), values);
  t.is(
    format.line(FLOW),
    '5 123456789012 ist0 192.168.1.10 172.31.1.10 40000 443 6 14 967 1566933133 1566933193 ACCEPT OK ' +
      'vpc-1 - - 19 IPv4 192.168.1.10 172.31.1.10 cn-north-1 - - - - - ingress - beijing web/https - -',
  );
  t.is(
    format.line({ ...REFUSED, version: 6, source: 'fd00:b::1', destination: 'fd00:a::1', direction: 'out' }),
    '5 123456789012 ist0 fd00:b::1 fd00:a::1 40000 22 6 14 967 1566933133 1566933193 REJECT OK ' +
      'vpc-1 - - 2 IPv6 fd00:b::1 fd00:a::1 cn-north-1 - - - - - egress - beijing - acl-default -',
  );
});

test('action ACCEPT or REJECT; log-status OK, NODATA, SKIPDATA', (t) => {
  const format = new FlowFormat(flowLogFormat('${action} ${log-status}'), {});
  t.is(format.line(FLOW), 'ACCEPT OK');
  t.is(format.line(REFUSED), 'REJECT OK');
  t.is(format.emptyLine('NODATA', 1, 2), '- NODATA');
  t.is(format.emptyLine('SKIPDATA', 1, 2), '- SKIPDATA');
});

test('Empty: 2 <account> <interface> - - - - - - - <start> <end> - NODATA', (t) => {
  const format = new FlowFormat(DEFAULT_FLOW_FORMAT, { 'account-id': '1', 'interface-id': 'eni-1' });
  t.is(format.emptyLine('NODATA', 1431280876, 1431280934), '2 1 eni-1 - - - - - - - 1431280876 1431280934 - NODATA');
});

/** Of the records that AWS's guide shows. */
const SAMPLES = [
  [
    '2 123456789010 eni-1235b8ca123456789 172.31.16.139 172.31.16.21 20641 22 6 20 4249 1418530010 1418530070 ACCEPT OK',
    { version: 2, 'account-id': '123456789010', srcaddr: '172.31.16.139', dstport: 22, bytes: 4249, action: 'ACCEPT' },
  ],
  [
    '2 123456789010 eni-1235b8ca123456789 172.31.9.69 172.31.9.12 49761 3389 6 20 4249 1418530010 1418530070 REJECT OK',
    { dstport: 3389, action: 'REJECT', start: 1418530010, end: 1418530070 },
  ],
  [
    '2 123456789010 eni-1235b8ca123456789 - - - - - - - 1431280876 1431280934 - NODATA',
    { srcaddr: null, packets: null, action: null, 'log-status': 'NODATA' },
  ],
  [
    '2 123456789010 eni-11111111aaaaaaaaa - - - - - - - 1431280876 1431280934 - SKIPDATA',
    { 'interface-id': 'eni-11111111aaaaaaaaa', 'log-status': 'SKIPDATA' },
  ],
  [
    '2 123456789010 eni-1235b8ca123456789 203.0.113.12 172.31.16.139 0 0 1 4 336 1432917027 1432917142 ACCEPT OK',
    { srcport: 0, dstport: 0, protocol: 1 },
  ],
  [
    '2 123456789010 eni-1235b8ca123456789 172.31.16.139 203.0.113.12 0 0 1 4 336 1432917094 1432917142 REJECT OK',
    { protocol: 1, packets: 4, action: 'REJECT' },
  ],
  [
    '2 123456789010 eni-1235b8ca123456789 2001:db8:1234:a100:8d6e:3477:df66:f105 2001:db8:1234:a102:3304:8879:34cf:4071 34892 22 6 54 8855 1477913708 1477913820 ACCEPT OK',
    { srcaddr: '2001:db8:1234:a100:8d6e:3477:df66:f105', packets: 54 },
  ],
] as const;

for (const [line, expected] of SAMPLES) {
  test(`AWS's own sample records parse: ${line}`, (t) => {
    const record = parseFlowRecord(line, DEFAULT_FLOW_FORMAT);
    t.like(record, expected);
    t.is(
      Object.values(record!)
        .map((value) => value ?? '-')
        .join(' '),
      line,
    );
  });
}

const FLAGS =
  'version vpc-id subnet-id instance-id interface-id account-id type srcaddr dstaddr srcport dstport pkt-srcaddr pkt-dstaddr protocol bytes packets start end action tcp-flags log-status';
const NAT = 'instance-id interface-id srcaddr dstaddr pkt-srcaddr pkt-dstaddr';
const TRANSIT =
  'version interface-id account-id vpc-id subnet-id instance-id srcaddr dstaddr srcport dstport protocol tcp-flags type pkt-srcaddr pkt-dstaddr action log-status';

for (const [header, line, expected] of [
  [
    FLAGS,
    '3 vpc-abcdefab012345678 subnet-aaaaaaaa012345678 i-01234567890123456 eni-1235b8ca123456789 123456789010 IPv4 52.213.180.42 10.0.0.62 43638 5001 52.213.180.42 10.0.0.62 6 1260 17 1566933133 1566933193 ACCEPT 3 OK',
    { version: 3, 'tcp-flags': 3, bytes: 1260, packets: 17 },
  ],
  [
    FLAGS,
    '3 vpc-abcdefab012345678 subnet-aaaaaaaa012345678 i-01234567890123456 eni-1235b8ca123456789 123456789010 IPv4 10.0.0.62 52.213.180.42 5001 43638  10.0.0.62 52.213.180.42 6 967 14 1566933133 1566933193 ACCEPT 19 OK',
    { 'tcp-flags': 19, 'pkt-srcaddr': '10.0.0.62' },
  ],
  [
    NAT,
    '- eni-1235b8ca123456789 10.0.1.5 10.0.0.220 10.0.1.5 203.0.113.5',
    { 'instance-id': null, dstaddr: '10.0.0.220', 'pkt-dstaddr': '203.0.113.5' },
  ],
  [
    TRANSIT,
    '3 eni-11111111111111111 123456789010 vpc-abcdefab012345678 subnet-11111111aaaaaaaaa - 10.40.1.175 10.40.2.236 39812 80 6 3 IPv4 10.20.33.164 10.40.2.236 ACCEPT OK',
    { srcaddr: '10.40.1.175', 'pkt-srcaddr': '10.20.33.164', 'log-status': 'OK' },
  ],
] as const) {
  test(`AWS's own sample records of custom formats parse: ${line}`, (t) => {
    const fields = parseFlowHeader(header)!;
    t.like(parseFlowRecord(line, fields), expected);
    const written = header
      .split(' ')
      .map((field) => `\${${field}}`)
      .join(' ');
    t.deepEqual(flowLogFormat(written), fields);
  });
}

test('what we write, we read; what is no record is refused', (t) => {
  const fields = flowLogFormat('all');
  const line = new FlowFormat(fields, {}).line(REFUSED);
  t.like(parseFlowRecord(line, fields), { srcaddr: '192.168.1.10', peering: 'beijing', 'drop-reason': 'acl-default' });
  t.is(parseFlowRecord(line, DEFAULT_FLOW_FORMAT), undefined);
  t.is(parseFlowRecord(line.replace(' 967 ', ' many '), fields), undefined);
  t.is(parseFlowHeader(line), undefined);
});

test('the manual has every field, in order, with its version', (t) => {
  const manual = readFileSync(new URL('../../../docs/flow-logs.md', import.meta.url), 'utf8');
  const rows = [...manual.matchAll(/^\| `([a-z-]+)` +\| (\d|ours) +\|/gm)].map(([, name, version]) => [name, version]);
  t.deepEqual(
    rows,
    FLOW_FIELD_NAMES.map((name) => [
      name,
      FLOW_FIELDS[name].version === 0 ? 'ours' : String(FLOW_FIELDS[name].version),
    ]),
  );
});
