import test from 'ava';
import fc from 'fast-check';
import { MAX_QUEUED_HANDSHAKES } from '../../src/dataplane/messages.ts';
import { endpointFrom, formatEndpoint } from '../../src/wire/endpoint.ts';
import { TRANSPORT } from '../../src/wire/messages.ts';
import { peering, seeded } from '../session/world.ts';
import { ALLOW_ALL, joined, many, packetToA, packetToB } from './gateways.ts';
import { Node } from './node.ts';
import { sealTransport } from './transport.ts';
import { Underlay, type Datagram } from '../session/underlay.ts';

const STRANGER = endpointFrom('203.0.113.9', 4711);

/** `joined`, and a datagram from a to b, number 1 under its key, that b has not seen. */
function intercepted(options?: Parameters<typeof joined>[0]) {
  const pair = joined(options);
  const held: Datagram[] = [];
  pair.underlay.fault = (datagram) => {
    held.push(datagram);
    return [];
  };
  pair.a.send(packetToB(7));
  pair.underlay.fault = (datagram) => [{ datagram }];
  /** Lets b have these bytes, from a stranger if nobody else is named. */
  const give = (bytes: Uint8Array, from = STRANGER) => {
    pair.b.arrive(bytes, from);
    pair.b.work();
  };
  return { ...pair, genuine: held[0].bytes, give };
}

function changed(bytes: Uint8Array, at: number, mask: number): Uint8Array {
  const copy = bytes.slice();
  copy[at] ^= mask;
  return copy;
}

for (const cipher of ['chacha20-poly1305', 'aes-256-gcm'] as const) {
  test(`${cipher}: a changed datagram is dropped with its reason, moves nothing, and spoils nothing`, (t) => {
    const { a, b, genuine, give } = intercepted({ ciphers: [cipher] });
    const expected: Record<string, number> = {};
    const expect = (reason: string) => (expected[reason] = (expected[reason] ?? 0) + 1);
    for (let length = 0; length < genuine.length; length++) {
      give(genuine.slice(0, length));
      if (length < 32) expect('malformed-datagram');
    }
    for (let at = 0; at < TRANSPORT.counter; at++) {
      give(changed(genuine, at, 0x40));
      expect(at < TRANSPORT.receiver ? 'malformed-datagram' : 'unknown-index');
    }
    t.deepEqual(b.drops(), expected);
    const longer = [1, 16, 1500].map((more) => Uint8Array.of(...genuine, ...new Uint8Array(more)));
    for (const bytes of longer) give(bytes);
    for (let at = TRANSPORT.counter; at < genuine.length; at++) give(changed(genuine, at, 1 << (at & 7)));
    t.deepEqual(b.drops(0), { 'bad-tag': genuine.length - 32 + longer.length + genuine.length - TRANSPORT.counter });
    t.deepEqual(b.received, []);
    t.deepEqual(b.whereIs(0), a.endpoint);
    t.is(b.traffic(0).received, 0);

    give(genuine);
    t.deepEqual(b.received, [packetToB(7)]);
    give(genuine);
    t.deepEqual(b.received, [packetToB(7)]);
    t.is(b.drops(0)['replayed'], 1);
  });
}

test('a peer is where its newest genuine message came from; a replay from elsewhere does not move it', (t) => {
  const { underlay, a, b, genuine, give } = intercepted();
  const home = a.endpoint;
  a.endpoint = STRANGER;
  a.send(packetToB(8));
  underlay.run(50);
  t.is(formatEndpoint(b.whereIs(0)!), '203.0.113.9:4711');
  b.send(packetToA());
  underlay.run(50);
  t.deepEqual(a.received, [packetToA()]);
  give(genuine, home);
  t.deepEqual(b.whereIs(0), home);
  give(genuine, endpointFrom('203.0.113.10', 1));
  give(underlay.of('data')[1].bytes, endpointFrom('203.0.113.10', 1));
  t.deepEqual(b.drops(0), { replayed: 2 });
  t.deepEqual(b.whereIs(0), home);
});

test('a keepalive moves a peer too, also by its port alone, and so does where it arrived', (t) => {
  const { a, b, give } = intercepted();
  const keepalive = (counter: bigint) => sealTransport(a.keypairs[0], counter, new Uint8Array(0));
  const port = endpointFrom('192.0.2.1', 9);
  give(keepalive(20n), port);
  t.deepEqual(b.whereIs(0), port);
  const local = port.slice();
  local.set([0, 0, 0xffff, 0x0a000001, 3], 6);
  give(keepalive(21n), local);
  t.deepEqual(b.whereIs(0), local);
  // Told otherwise meanwhile, the next message from the old place counts again.
  b.moveTo(0, endpointFrom('203.0.113.77', 1));
  give(keepalive(22n), local);
  t.deepEqual(b.whereIs(0), local);
  t.deepEqual(b.received, []);
  t.is(b.dropped(), 0);
});

test('an initiation from a new address moves the peer', (t) => {
  const { underlay, a, b, ab } = joined();
  underlay.run(10_000);
  a.endpoint = STRANGER;
  ab.wantSession(underlay.now);
  underlay.run(50);
  t.is(formatEndpoint(b.whereIs(0)!), '203.0.113.9:4711');
  t.is(a.keypairs.length, 2);
});

test('two peers behind one address are kept apart by their ports', (t) => {
  const underlay = new Underlay();
  const server = new Node(underlay, '192.0.2.9', 1);
  server.route({ '192.168.0.0/16': 'local', '172.31.0.0/16': 0, '172.30.0.0/16': 1 });
  const clients = [7, 8].map((psk, slot) => {
    const client = new Node(underlay, '192.0.2.1', psk);
    client.endpoint = endpointFrom('192.0.2.1', 1000 + slot);
    const credentials = peering(psk);
    server.connect(credentials.server);
    client.connect(credentials.client, server.endpoint);
    client.route({ '172.31.0.0/16': 'local', '172.30.0.0/16': 'local', '192.168.0.0/16': 0 });
    return client;
  });
  for (const node of [server, ...clients]) node.judge([ALLOW_ALL]);
  const toSecond = packetToA().with(17, 30);
  clients[0].send(packetToB(1));
  clients[1].send(packetToB(2).with(13, 30));
  underlay.run(50);
  server.send(packetToA(3), toSecond, packetToA(4));
  underlay.run(50);
  t.deepEqual(server.received, [packetToB(1), packetToB(2).with(13, 30)]);
  t.deepEqual(clients[0].received, [packetToA(3), packetToA(4)]);
  t.deepEqual(clients[1].received, [toSecond]);
  t.is(server.dropped(), 0);
});

test('what a peer seals is not trusted either: lengths that lie, no packet, nothing behind the header', (t) => {
  const { a, b, give } = intercepted();
  let counter = 20n;
  const forge = (plaintext: Uint8Array) => give(sealTransport(a.keypairs[0], counter++, plaintext), a.endpoint);
  const packet = packetToB(1, 4);
  const lengthIs = (length: number) => packet.with(2, length >>> 8).with(3, length & 255);
  const lies = [
    lengthIs(packet.length + 1),
    lengthIs(65535),
    lengthIs(19),
    lengthIs(0),
    packet.with(0, 0x46).with(3, 20),
    packet.with(0, 0x55),
    packet.slice(0, 19),
    new Uint8Array(16),
    new Uint8Array(1424),
    Uint8Array.of(0x60, ...new Uint8Array(39).fill(255)),
    Uint8Array.of(0x60, ...new Uint8Array(22)),
    new Uint8Array(1).fill(0x45),
  ];
  for (const lie of lies) forge(lie);
  t.deepEqual(b.drops(0), { 'malformed-packet': lies.length });
  t.deepEqual(b.received, []);
  // Padding, of whatever size and content, is cut off.
  for (const padding of [0, 1, 12, 700]) forge(Uint8Array.of(...packet, ...new Uint8Array(padding).fill(0xee)));
  t.deepEqual(b.received, [packet, packet, packet, packet]);
});

test('datagrams of no and of full size do not stop what follows', (t) => {
  const { underlay, a, b, genuine } = intercepted();
  const random = seeded(3);
  const index = genuine.slice(0, TRANSPORT.counter);
  const large = [0, 65507].flatMap((size) => [new Uint8Array(size), random(size)]);
  for (const bytes of [...large, Uint8Array.of(...index, ...random(65507 - 8))]) b.arrive(bytes, STRANGER);
  b.arrive(genuine, a.endpoint);
  b.arrive(new Uint8Array(0), STRANGER);
  b.work();
  t.deepEqual(b.received, [packetToB(7)]);
  t.deepEqual({ ...b.drops(), ...b.drops(0) }, { 'malformed-datagram': 5, 'bad-tag': 1 });
  underlay.run(50);
});

test('reordered and doubled datagrams arrive once each', (t) => {
  const { underlay, a, b } = joined();
  const random = seeded(5);
  underlay.fault = (datagram) => [0, 1].map(() => ({ datagram, delay: random(1)[0] }));
  const packets = many(2000, packetToB);
  a.send(...packets);
  underlay.run(1000);
  const numbers = b.received.map((packet) => new DataView(packet.buffer).getInt32(28));
  t.deepEqual(
    numbers.sort((left, right) => left - right),
    packets.map((_, number) => number),
  );
  t.deepEqual(b.drops(0), { replayed: 2000 });
});

test('the handshakes that wait are bounded, and only those of the right size wait', (t) => {
  const { underlay, b, ab } = joined();
  underlay.run(10_000);
  ab.wantSession(underlay.now);
  const initiation = underlay.of('initiation')[1].bytes;
  // One in 256 is as it was sent.
  const flood = Array.from({ length: MAX_QUEUED_HANDSHAKES + 10 }, (_, at) => changed(initiation, 100 + (at & 31), at));
  const since = underlay.log.length;
  b.hearing = false;
  for (const bytes of [...flood, initiation.slice(0, 147), Uint8Array.of(...initiation, 0)]) b.arrive(bytes, STRANGER);
  b.work();
  t.deepEqual(b.drops(), { 'handshake-queue-full': 10, 'malformed-datagram': 2 });
  b.hearing = true;
  b.work();
  t.is(b.dropped(), flood.length + 2);
  t.true(underlay.kinds(since).every((kind) => kind === 'cookie'));
  // Once it is over, handshakes go through again.
  underlay.run(10_000);
  ab.wantSession(underlay.now);
  underlay.run(10_000);
  t.true(b.keypairs.length >= 2);
});

test('whatever arrives is accepted or counted, never thrown at', (t) => {
  const { underlay, a, b, genuine, give } = intercepted();
  give(genuine, a.endpoint);
  a.send(...many(20, packetToB));
  const seen = underlay.log.map(({ bytes }) => bytes);
  underlay.run(50);
  const mutated = fc
    .record({
      base: fc.nat(seen.length - 1),
      edits: fc.array(fc.tuple(fc.nat(1500), fc.nat(255)), { maxLength: 4 }),
      length: fc.option(fc.nat(200)),
      tail: fc.uint8Array({ maxLength: 40 }),
    })
    .map(({ base, edits, length, tail }) => {
      const bytes = Uint8Array.of(...seen[base].subarray(0, length ?? undefined), ...tail);
      for (const [at, value] of edits) if (at < bytes.length) bytes[at] = value;
      return bytes;
    });
  const typed = fc.tuple(fc.integer({ min: 1, max: 4 }), fc.uint8Array({ maxLength: 200 })).map(([type, rest]) => {
    return Uint8Array.of(type, 0, 0, 0, ...rest);
  });
  const datagram = fc.oneof(mutated, typed, fc.uint8Array({ maxLength: 200 }));
  const property = fc.property(fc.array(datagram, { minLength: 1, maxLength: 20 }), (datagrams) => {
    const before = b.dropped() + b.received.length;
    for (const bytes of datagrams) b.arrive(bytes, STRANGER);
    b.work();
    return b.dropped() + b.received.length === before + datagrams.length;
  });
  t.notThrows(() => fc.assert(property, { seed: 11, numRuns: 500 }));
  t.deepEqual(b.whereIs(0), a.endpoint);
  const since = b.received.length;
  give(sealTransport(a.keypairs[0], 5000n, packetToB(9)), a.endpoint);
  t.deepEqual(b.received.slice(since), [packetToB(9)]);
});

test('whatever is in a genuine message, or comes from the TUN, is passed on or counted', (t) => {
  const { underlay, a, b, give } = intercepted();
  let counter = 20n;
  const bases = [packetToB(1), packetToA(2), packetToB(3, 100)];
  const packet = fc
    .record({
      base: fc.constantFrom(...bases),
      edits: fc.array(fc.tuple(fc.nat(27), fc.nat(255)), { maxLength: 3 }),
      length: fc.option(fc.nat(60), { freq: 1 }),
    })
    .map(({ base, edits, length }) => {
      const bytes = base.slice(0, length ?? undefined);
      for (const [at, value] of edits) if (at < bytes.length) bytes[at] = value;
      return bytes;
    })
    .filter((bytes) => bytes.length > 0);
  const opened = fc.property(fc.oneof(packet, fc.uint8Array({ minLength: 1, maxLength: 100 })), (bytes) => {
    const before = b.dropped() + b.received.length;
    give(sealTransport(a.keypairs[0], counter++, bytes), a.endpoint);
    return b.dropped() + b.received.length === before + 1;
  });
  t.notThrows(() => fc.assert(opened, { seed: 12, numRuns: 1500 }));
  const read = fc.property(fc.oneof(packet, fc.uint8Array({ minLength: 1, maxLength: 100 })), (bytes) => {
    const before = a.dropped() + a.traffic(0).sent;
    a.send(bytes);
    return a.dropped() + a.traffic(0).sent === before + 1;
  });
  t.notThrows(() => fc.assert(read, { seed: 13, numRuns: 1500 }));
  t.true(b.received.length > 100);
  t.true(underlay.of('data').length > 100);
});
