// What the status page reckons, without a browser; test/system/page.test.ts has the rest of it, in one.
import test from 'ava';
import { SESSION_LIFE_S } from '../../src/gateway/status.ts';
import type { GatewayStatus } from '../../src/gateway/status.ts';
import { History, latest } from '../../src/observe/page/history.ts';
import { linePath, niceTop } from '../../src/observe/page/lines.ts';
import { MEANINGS } from '../../src/observe/page/reasons.ts';
import { stateOf } from '../../src/observe/page/states.ts';
import * as units from '../../src/observe/page/units.ts';
import { DROP_REASONS } from '../../src/wire/drop.ts';
import { PEER, STATUS } from './samples.ts';

/** The status after so many seconds in which each peer received a megabyte, and sent a tenth of it, a second. */
function after(seconds: number, change: Partial<GatewayStatus> = {}): GatewayStatus {
  const bytes = seconds * 1_000_000;
  return {
    ...STATUS,
    uptime_s: Math.round(100 + seconds),
    peers: ['beijing', 'tokyo'].map((name) => ({ ...PEER, name, rx_bytes: bytes, tx_bytes: bytes / 10 })),
    all_drops: { 'no-route': 7, 'acl-default': 5 + seconds * 4 },
    threads: STATUS.threads.map((thread) => ({ ...thread, cpu_s: seconds / 4 })),
    ...change,
  };
}

test('rates come from what was counted between two looks, however far apart', (t) => {
  const history = new History(10);
  history.add(after(0), 5000);
  t.is(latest(history.total.rx), 0);
  history.add(after(1), 6000);
  t.is(latest(history.of('beijing').rx), 8e6);
  t.is(latest(history.of('tokyo').tx), 8e5);
  t.is(latest(history.total.rx), 16e6);
  t.is(history.dropRate('acl-default'), 4);
  t.is(history.dropRate('no-route'), 0);
  t.is(latest(history.drops), 4);
  t.is(history.busy('outbound'), 0.25);
  history.add(after(3.5), 8500);
  t.deepEqual(history.of('beijing').rx, [8e6, 8e6]);
});

test('what is set back, new or gone makes no rate, and the past is bounded', (t) => {
  const history = new History(3);
  history.add(after(100), 0);
  // Started anew: all counts from 0, and less time since the start.
  history.add(after(1, { uptime_s: 1 }), 1000);
  t.deepEqual(history.total.rx, []);
  history.add(after(2, { uptime_s: 2 }), 2000);
  t.deepEqual(history.total.rx, [16e6]);
  history.add(after(3, { uptime_s: 3, peers: [{ ...PEER, name: 'new', rx_bytes: 1e9 }] }), 3000);
  t.is(latest(history.total.rx), 0);
  t.deepEqual(history.of('beijing').rx, []);
  history.add(after(3), 3000);
  t.is(history.total.rx.length, 2, 'two answers of one moment');
  for (let second = 4; second < 20; second++) history.add(after(second), second * 1000);
  t.is(history.total.rx.length, 3);
});

test('every drop reason has its meaning', (t) => {
  t.deepEqual(
    DROP_REASONS.filter((reason) => reason !== 'none' && MEANINGS[reason] === undefined),
    [],
  );
});

test('the state of a peer', (t) => {
  const path = PEER.path!;
  for (const [change, level, word] of [
    [{ path: null }, 'good', 'up'],
    [{}, 'good', 'up, in use'],
    [{ path: { ...path, in_use: false } }, 'good', 'up, standby'],
    [{ path: { ...path, state: 'down' } }, 'bad', 'path down'],
    [{ path: { ...path, state: 'damped' } }, 'waiting', 'path damped'],
    [{ path: { ...path, state: 'unknown' } }, 'good', 'up'],
    [{ last_handshake_s: SESSION_LIFE_S }, 'bad', 'session lost'],
    [{ last_handshake_s: null }, 'waiting', 'never connected'],
    [{ last_handshake_s: null, endpoint: null }, 'waiting', 'waits for a call'],
  ] as const) {
    t.deepEqual(stateOf({ ...PEER, ...change }), { level, word });
  }
});

test('lines end at the right edge, at the height of the last value', (t) => {
  const size = { width: 100, height: 10, length: 11 };
  t.is(linePath([0], 10, size), '');
  t.is(linePath([0, 5, 10], 10, size), 'M80.0,10.0L90.0,5.0L100.0,0.0');
  t.is(linePath([0, 10], 10, size, true), 'M90.0,10.0L100.0,0.0L100,10L90.0,10Z');
  t.is(linePath([0, 0], 0, size), 'M90.0,10.0L100.0,10.0');
  t.deepEqual([0, 1, 3, 10, 11, 450, 8e9, 9e9].map(niceTop), [1, 1, 4, 10, 20, 800, 8e9, 1e10]);
});

test('quantities as people read them', (t) => {
  t.deepEqual([0, 999, 1.5e6, 2.25e9].map(units.formatBits), ['0 kbit/s', '1 kbit/s', '1.5 Mbit/s', '2.25 Gbit/s']);
  t.deepEqual([0, 1023, 1536, 5 * 2 ** 30].map(units.formatBytes), ['0 B', '1023 B', '1.5 KiB', '5.0 GiB']);
  t.deepEqual([5, 119, 120, 7200, 172_800].map(units.formatSeconds), ['5 s', '119 s', '2 min', '2 h', '2 days']);
  t.deepEqual([0, 0.44, 12.4, 3400].map(units.formatPerSecond), ['0', '0.4', '12', '3,400']);
  t.deepEqual([0, 999, 1000, 1234567].map(units.formatCount), ['0', '999', '1,000', '1,234,567']);
  t.deepEqual([0, 0.004, 0.02, 1].map(units.formatShare), ['0 %', '0.4 %', '2 %', '100 %']);
  t.is(units.formatEnd('192.0.2.1', 443), '192.0.2.1:443');
  t.is(units.formatEnd('2001:db8::1', 443), '[2001:db8::1]:443');
  t.is(units.formatEnd('2001:db8::1', 0), '2001:db8::1');
});
