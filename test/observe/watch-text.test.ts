import test from 'ava';
import type { EventsAnswer } from '../../src/gateway/events.ts';
import type { FlowRow, FlowsAnswer } from '../../src/gateway/flow-top.ts';
import { History } from '../../src/observe/page/history.ts';
import { formatWatch, sparkline } from '../../src/observe/watch-text.ts';
import type { Watched } from '../../src/observe/watch-text.ts';
import { PEER, STATUS } from './samples.ts';

const WIDE = { columns: 200, rows: 100 };
const FLOW: FlowRow = {
  ...{ peering: 'beijing', direction: 'in', protocol: 6, source: '192.168.1.10', source_port: 41022 },
  ...{ destination: '172.31.1.10', destination_port: 443, action: 'accept', drop_reason: null, rule: 'web/https' },
  ...{ packets: 7, bytes: 700, rate_bps: 1.9e9, first: 1, last: 2 },
};

/** After four seconds: some peers at 8, 16, 24 and 32 Mbit/s in, an eighth of it out, and drops that go on. */
function watched(names: readonly string[] = ['beijing']): Watched {
  const history = new History(60);
  const status = (seconds: number): typeof STATUS => ({
    ...STATUS,
    peers: names.map((name) => {
      const bytes = (1e6 * seconds * (seconds + 1)) / 2;
      return { ...PEER, name, rx_bytes: bytes, tx_bytes: bytes / 8 };
    }),
    all_drops: { 'no-route': 100, 'acl-default': 5 * seconds, 'bad-mac1': 0 },
  });
  for (const seconds of [0, 1, 2, 3, 4]) history.add(status(seconds), seconds * 1000);
  const flows: FlowsAnswer = {
    ...{ watched_s: 10, matched: 2, packets: 1, bytes: 1, skipped_packets: 0, next: null },
    flows: [FLOW, { ...FLOW, source: '2001:db8::1', protocol: 17, drop_reason: 'no-route', rate_bps: 800 }],
  };
  const events: EventsAnswer = {
    events: [
      { id: 1, at: 1_700_000_000, level: 'info', peering: null, text: 'first\nof two lines' },
      { id: 2, at: 1_700_000_001, level: 'info', peering: 'beijing', text: 'session lost' },
    ],
  };
  return { status: status(4), history, flows, events };
}

test('a screen shows rates, round trips, drops as they rise, flows and events', (t) => {
  const lines = formatWatch(watched(), WIDE).split('\n');
  t.is(lines[0], 'gateway ningxia on ist0, up 100 s, UDP port 51820');
  t.is(lines[1], '  traffic   9.5 MiB in, 1.2 MiB out; now 32.0 Mbit/s in, 4.0 Mbit/s out');
  t.is(lines[2], '  peerings  1 of 1 up; 17 flows; CPU 0 % outbound, 0 % inbound');
  const text = lines.join('\n');
  for (const part of [
    /^beijing +● up, in use +12\.5 ms -25 % +32\.0M +▃▅▆█ +4\.0M +▃▅▆█$/m,
    /^acl-default +5\.0 +20\nno-route +0 +100$/m,
    /^tcp 192\.168\.1\.10:41022 > 172\.31\.1\.10:443 +1\.90 Gbit\/s {2}in, beijing$/m,
    /^udp \[2001:db8::1\]:41022 > 172\.31\.1\.10:443 +1 kbit\/s {2}no-route$/m,
    /^last events\n\d\d:\d\d:\d\d {2}beijing: session lost\n\d\d:\d\d:\d\d {2}first of two lines$/m,
  ]) {
    t.regex(text, part);
  }
  t.false(text.includes('bad-mac1'));
});

test('the columns of a peering fit into 80 characters', (t) => {
  const lines = formatWatch(watched(['a-name-that-is-longer-than-it-may-be']), WIDE).split('\n');
  const row = lines.find((line) => line.startsWith('a-name-that-'))!;
  t.true(row.length <= 80, row);
  t.regex(row, /^a-name-that-…/);
});

test('no screen is larger than the terminal', (t) => {
  const many = watched(Array.from({ length: 30 }, (_, number) => `peer-${number}`));
  for (const columns of [20, 40, 80]) {
    for (const rows of [10, 24, 40, 60]) {
      const text = formatWatch(many, { columns, rows });
      const lines = text.trimEnd().split('\n');
      t.true(lines.length < rows, `${lines.length} lines in ${rows}`);
      for (const line of lines) t.true(line.length <= columns, line);
    }
  }
  t.regex(formatWatch(many, { columns: 80, rows: 24 }), /peer-16 [^]*\nand 13 more; isthmus status lists all\n$/);
  const whole = formatWatch(many, { columns: 80, rows: Infinity });
  t.regex(whole, /peer-29 [^]*last events/);
});

test('a sparkline is as high as its greatest value says', (t) => {
  t.is(sparkline([], 4), '    ');
  t.is(sparkline([0, 0], 4), '  ▁▁');
  t.is(sparkline([5, 0, 7, 3.5, 1], 4), '▁█▅▂');
});
