import test from 'ava';
import { flowLogFormat } from '../../src/control/config-flow-logs.ts';
import { flowQuery } from '../../src/control/flow-query.ts';
import { formatLoggedFlows } from '../../src/observe/flows-text.ts';
import { readTopFlows } from '../../src/observe/flow-log-read.ts';

async function* each(text: string): AsyncGenerator<string> {
  for (const line of text.split('\n')) yield await Promise.resolve(line);
}

const read = (text: string, asked: Record<string, string> = {}, format?: string) =>
  readTopFlows(
    each(text),
    flowQuery(new URLSearchParams(asked)),
    format === undefined ? format : flowLogFormat(format),
  );

/** From AWS's guide: accepted SSH, refused RDP, no data, skipped records. */
const AWS = `2 123456789010 eni-1235b8ca123456789 172.31.16.139 172.31.16.21 20641 22 6 20 4249 1418530010 1418530070 ACCEPT OK
2 123456789010 eni-1235b8ca123456789 172.31.9.69 172.31.9.12 49761 3389 6 20 4249 1418530010 1418530070 REJECT OK
2 123456789010 eni-1235b8ca123456789 - - - - - - - 1431280876 1431280934 - NODATA
2 123456789010 eni-11111111aaaaaaaaa - - - - - - - 1431280876 1431280934 - SKIPDATA
2 123456789010 eni-1235b8ca123456789 172.31.16.139 172.31.16.21 20641 22 6 30 751 1418530080 1418530110 ACCEPT OK
`;

test("AWS's default line, without a header: records of a flow are added up, the largest first", async (t) => {
  const answer = await read(AWS);
  t.like(answer, { records: 3, skipdata: 1, unreadable_lines: 0, matched: 2, packets: 70, bytes: 9249 });
  t.is(answer.start, 1418530010);
  t.is(answer.end, 1418530110);
  const nothing = { peering: null, direction: null, drop_reason: null, rule: null };
  t.deepEqual(answer.flows, [
    {
      ...nothing,
      ...{
        protocol: 6,
        source: '172.31.16.139',
        source_port: 20641,
        destination: '172.31.16.21',
        destination_port: 22,
      },
      ...{ action: 'accept', packets: 50, bytes: 5000, rate_bps: 400, first: 1418530010, last: 1418530110 },
    },
    {
      ...nothing,
      ...{ protocol: 6, source: '172.31.9.69', source_port: 49761, destination: '172.31.9.12', destination_port: 3389 },
      ...{ action: 'reject', packets: 20, bytes: 4249, rate_bps: 567, first: 1418530010, last: 1418530070 },
    },
  ]);
  const text = formatLoggedFlows(answer);
  t.regex(text, /^- +- +tcp +172\.31\.16\.139:20641 +172\.31\.16\.21:22 +accept +50 +5000 +0\.4 kbit\/s$/m);
  t.regex(text, /^- +- +tcp +172\.31\.9\.69:49761 +172\.31\.9\.12:3389 +reject +20 +4249 +0\.6 kbit\/s$/m);
  t.regex(
    text,
    /^2 of 2 flows, 70 packets, 9249 bytes in 3 records, 2014-12-14T04:06:50Z to 2014-12-14T04:08:30Z; .*SKIPDATA: 1 times$/m,
  );
});

test('a custom format by the line that names its fields, once more where files were joined; ours by its length', async (t) => {
  const header = 'srcaddr dstaddr dstport protocol bytes flow-direction action';
  const line = '2001:db8::1 2001:db8::2 53 17 90 egress ACCEPT';
  const other = 'dstaddr srcaddr dstport protocol bytes flow-direction action';
  const answer = await read([header, line, line, '', other, line, 'no record', 'a b c d e f g'].join('\n'));
  t.like(answer, { records: 3, unreadable_lines: 2, matched: 2, packets: 0, bytes: 270, start: null, end: null });
  t.deepEqual(
    answer.flows.map(({ source, direction, bytes }) => [source, direction, bytes]),
    [
      ['2001:db8::1', 'out', 180],
      ['2001:db8::2', 'out', 90],
    ],
  );
  t.regex(formatLoggedFlows(answer), /2 lines are no records of this format/);

  const fields = flowLogFormat('all');
  const values: Partial<Record<string, string>> = {
    ...{
      srcaddr: '10.0.0.1',
      dstaddr: '10.0.0.2',
      srcport: '1',
      dstport: '2',
      protocol: '17',
      packets: '3',
      bytes: '4',
    },
    ...{ action: 'REJECT', peering: 'beijing', rule: 'web/deny', 'drop-reason': 'acl-rule', 'log-status': 'OK' },
    'flow-direction': 'ingress',
  };
  const ours = await read(fields.map((field) => values[field] ?? '-').join(' '));
  t.like(ours.flows[0], { peering: 'beijing', rule: 'web/deny', drop_reason: 'acl-rule', action: 'reject' });
  t.like(ours.flows[0], { direction: 'in', packets: 3, bytes: 4 });
});

test('fields that AWS has added since version 5 are passed over, where a line names them', async (t) => {
  const header = 'version srcaddr dstaddr action ecs-cluster-name reject-reason bytes log-status';
  const answer = await read([header, '8 10.0.0.1 10.0.0.2 REJECT web BPA 40 OK'].join('\n'));
  t.like(answer, { records: 1, unreadable_lines: 0, bytes: 40 });
  t.like(answer.flows[0], { source: '10.0.0.1', action: 'reject', bytes: 40 });
});

test('without a header, an unusual format has to be said', async (t) => {
  const line = '10.0.0.1 10.0.0.2 77';
  await t.throwsAsync(read(line), {
    code: 'ISTHMUS_USAGE',
    message: /"10\.0\.0\.1 10\.0\.0\.2 77" has 3 fields.*--format/,
  });
  const answer = await read(line, {}, '${srcaddr} ${dstaddr} ${bytes}');
  t.like(answer.flows[0], { source: '10.0.0.1', bytes: 77, protocol: null, source_port: 0 });
  t.is((await read('')).matched, 0);
});

test('filters, order and length are those of a running gateway', async (t) => {
  const sources = async (asked: Record<string, string>) => (await read(AWS, asked)).flows.map(({ source }) => source);
  t.deepEqual(await sources({ port: '3389' }), ['172.31.9.69']);
  t.deepEqual(await sources({ address: '172.31.16.0/24' }), ['172.31.16.139']);
  t.deepEqual(await sources({ sort: 'rate' }), ['172.31.9.69', '172.31.16.139']);
  t.deepEqual(await sources({ limit: '1' }), ['172.31.16.139']);
  t.deepEqual(await sources({ protocol: 'udp' }), []);
  t.deepEqual(await sources({ peering: 'beijing' }), []);
  const pings = ['1 10.0.0.1 10.0.0.2', '58 fd00::1 fd00::2', '17 10.0.0.1 10.0.0.3'].join('\n');
  t.is((await read(pings, { protocol: 'icmp' }, '${protocol} ${srcaddr} ${dstaddr}')).matched, 2, 'of either family');
  await t.throwsAsync(sources({ sort: 'size' }), { code: 'ISTHMUS_USAGE' });
});
