import test from 'ava';
import { POLICY_EVENT } from '../../src/policy/counters.ts';
import { PROTOCOL, TCP_FLAG } from '../../src/wire/packet.ts';
import { ip, tcp } from '../wire/packets.ts';
import { seeded } from '../lab/datagrams.ts';
import { ALLOW_OUT, World } from './world.ts';

const { fin, syn, rst, ack } = TCP_FLAG;
const HERE = '172.31.0.9';
const THERE = '192.168.0.1';
const SEED = 20261121;

interface Segment {
  readonly flags: number;
  readonly seq: number;
  readonly ack?: number;
  readonly window?: number;
  readonly data?: number;
  /** Offered by a SYN. */
  readonly scale?: number;
}

function segment(from: number, to: number, { flags, seq, ack = 0, window = 1000, data = 0, scale }: Segment) {
  const options = scale === undefined ? [] : [1, 3, 3, scale];
  const bytes = Uint8Array.of(...tcp(from, to, flags), ...options, ...new Uint8Array(data));
  const view = new DataView(bytes.buffer);
  view.setUint32(4, seq >>> 0);
  view.setUint32(8, ack >>> 0);
  bytes[12] = (5 + options.length / 4) << 4;
  view.setUint16(14, window);
  return bytes;
}

/** One connection from a host here to one at the peer. */
class Connection extends World {
  constructor() {
    super([ALLOW_OUT]);
  }

  go(fields: Segment, count = 1): boolean {
    return this.#isInside(() => this.out(ip(HERE, THERE, PROTOCOL.tcp, segment(5000, 443, fields)), count));
  }

  come(fields: Segment, count = 1): boolean {
    return this.#isInside(() => this.in(ip(THERE, HERE, PROTOCOL.tcp, segment(443, 5000, fields)), count));
  }

  /** With a window of 1000 << 2 there, and 1000 here. */
  open(isn = 100, theirs = 5000): this {
    this.go({ flags: syn, seq: isn, scale: 0 });
    this.come({ flags: syn | ack, seq: theirs, ack: isn + 1, scale: 2 });
    this.go({ flags: ack, seq: isn + 1, ack: theirs + 1 });
    this.come({ flags: ack, seq: theirs + 1, ack: isn + 1 });
    return this;
  }

  /** Whether the packet, which passes in any case, was not counted as out of window. */
  #isInside(judge: () => string): boolean {
    const before = this.counters.events[POLICY_EVENT.outOfWindow];
    if (judge() !== 'pass') throw new Error('the packet did not pass');
    return this.counters.events[POLICY_EVENT.outOfWindow] === before;
  }
}

test('out of window is what lies beyond the room offered, or behind what was acknowledged; it is counted and passes', (t) => {
  t.true(new Connection().open().go({ flags: ack, seq: 101, ack: 5001, data: 1400 }));
  t.true(new Connection().open().go({ flags: ack, seq: 101 + 4000, ack: 5001 }), 'scaled by 4');
  t.false(new Connection().open().go({ flags: ack, seq: 101 + 4002, ack: 5001 }));
  t.true(new Connection().open().come({ flags: ack, seq: 5001 + 1000, ack: 101 }));
  t.false(new Connection().open().come({ flags: ack, seq: 5001 + 1002, ack: 101 }), 'not scaled');
  t.false(new Connection().open().go({ flags: ack, seq: 101 - 5000, ack: 5001 }), 'long gone');
  t.true(new Connection().open().go({ flags: ack, seq: 100, ack: 5001 }), 'a keep-alive');
  t.false(new Connection().open().go({ flags: ack, seq: 101, ack: 5002 }), 'acknowledges what was not sent');
  t.false(new Connection().open().go({ flags: ack, seq: 101, ack: 5001 - 70_000 }));
});

test('sequence numbers wrap', (t) => {
  const world = new Connection().open(2 ** 32 - 10, 2 ** 31 - 10);
  t.true(world.go({ flags: ack, seq: 2 ** 32 - 9, ack: 2 ** 31 - 9, data: 100 }));
  t.true(world.come({ flags: ack, seq: 2 ** 31 - 9, ack: 91, data: 100 }));
  t.true(world.go({ flags: ack, seq: 91, ack: 2 ** 31 + 91, data: 1 }));
  t.false(world.go({ flags: ack, seq: 2 ** 31, ack: 2 ** 31 + 91 }));
});

test('a RST or FIN out of window does not end a connection', (t) => {
  for (const flags of [rst, rst | ack, fin | ack]) {
    const world = new Connection().open();
    t.false(world.come({ flags, seq: 900_000, ack: 101 }));
    t.false(world.go({ flags: flags === (fin | ack) ? flags : ack, seq: 900_000, ack: 5001 }));
    world.seconds += 300_000;
    t.true(world.come({ flags: ack, seq: 5001, ack: 101 }), 'still tracked');
  }
  const world = new Connection().open();
  t.true(world.come({ flags: rst, seq: 5001 }));
  world.seconds += 30;
  t.is(world.in(ip(THERE, HERE, PROTOCOL.tcp, segment(443, 5000, { flags: ack, seq: 5001, ack: 101 }))), 'acl-default');
});

test('an opening is not answered for by a forged acknowledgement', (t) => {
  const world = new Connection();
  world.go({ flags: syn, seq: 100 });
  t.false(world.come({ flags: rst | ack, seq: 0, ack: 999 }));
  t.true(world.come({ flags: syn | ack, seq: 5000, ack: 101 }));
});

test('super-packets count whole, coalesced runs by their first and how many they are', (t) => {
  const world = new Connection().open();
  t.true(world.go({ flags: ack, seq: 101, ack: 5001, data: 4000 }, 3), 'all of it is in the packet');
  t.true(world.come({ flags: ack, seq: 5001, ack: 4101, data: 100 }, 5));
  t.true(world.go({ flags: ack, seq: 4101, ack: 5501 }), 'five segments were sent');
  t.false(world.go({ flags: ack, seq: 4101, ack: 5502 }));
  t.true(world.come({ flags: ack, seq: 5501, ack: 4101 }));
});

test('met in mid-stream, fragmented, or opened anew a connection is believed', (t) => {
  const met = new Connection();
  t.true(met.go({ flags: ack, seq: 7000, ack: 9000, window: 10 }));
  t.true(met.come({ flags: ack, seq: 9000 + 10 * 2 ** 14, ack: 7000 }), 'its scale is not known');
  const again = new Connection();
  again.go({ flags: syn, seq: 4_000_000_000 });
  t.true(again.go({ flags: syn, seq: 100 }), 'with another sequence number, before an answer');
  t.true(again.come({ flags: syn | ack, seq: 1, ack: 101 }));
  const parts = new Connection().open();
  const first = segment(5000, 443, { flags: ack, seq: 101, ack: 5001, data: 900 });
  parts.out(ip(HERE, THERE, PROTOCOL.tcp, first, { fragment: { offset: 0, more: true, id: 1 } }));
  t.true(parts.come({ flags: ack, seq: 5001, ack: 3000 }), 'as long as it is not known how long it was');
});

test('transfers with loss, retransmission and reordering within the window are never out of it', (t) => {
  const random = seeded(SEED);
  for (let run = 0; run < 50; run++) {
    const isn = Math.floor(random() * 2 ** 32);
    const world = new Connection().open(isn, 5000);
    let acknowledged = isn + 1;
    let sent = acknowledged;
    for (let step = 0; step < 200; step++) {
      const room = acknowledged + 4000 - sent;
      const data = Math.min(room, 1 + Math.floor(random() * 1400));
      const isOld = random() < 0.2 || data <= 0;
      const from = isOld ? acknowledged : sent;
      const size = isOld ? Math.min(1400, sent - acknowledged) : data;
      if (!world.go({ flags: ack, seq: from, ack: 5001, data: size })) t.fail(`seed ${SEED}, run ${run}, step ${step}`);
      sent = Math.max(sent, from + size);
      if (random() < 0.5) acknowledged += Math.floor(random() * (sent - acknowledged + 1));
      if (!world.come({ flags: ack, seq: 5001, ack: acknowledged })) t.fail(`seed ${SEED}, run ${run}, step ${step}`);
    }
  }
  t.pass();
});

test('options that are cut or lie about their length are read without end', (t) => {
  const world = new World([ALLOW_OUT]);
  for (const options of [
    [3, 3],
    [2, 0, 0, 0],
    [3, 0, 14, 0],
    [1, 1, 1, 3],
    [8, 255, 3, 3],
  ]) {
    const bytes = Uint8Array.of(...tcp(5000, 443, syn), ...options);
    bytes[12] = 15 << 4;
    t.is(world.out(ip(HERE, THERE, PROTOCOL.tcp, bytes)), 'pass');
  }
});
