/** What micro.ts measures. Each is prepared when its turn comes, so that the memory of one is not in another's way. */
import { createCounters } from '../src/dataplane/counters.ts';
import { Inbound } from '../src/dataplane/inbound.ts';
import { SHARED } from '../src/dataplane/messages.ts';
import { Outbound } from '../src/dataplane/outbound.ts';
import { BUFFER, GROUP, ROW, STATUS } from '../src/nic/layout.ts';
import { memoryEndpoints, memoryInbound, memoryOutbound } from '../src/nic/memory.ts';
import { discardSealed, inboundMemory, keys, openRows, outboundMemory, sealRows } from '../src/nic/native.ts';
import type { CipherName } from '../src/noise/cipher.ts';
import { Acl, compileAcls, type AclRule } from '../src/policy/acl.ts';
import { createFlowTable } from '../src/policy/flow-table.ts';
import { createPolicyCounters } from '../src/policy/counters.ts';
import { OUT } from '../src/policy/direction.ts';
import { Policy } from '../src/policy/policy.ts';
import { parsePrefix } from '../src/routing/prefix.ts';
import { buildPrefixTable, PrefixTable, type PrefixEntry } from '../src/routing/prefix-table.ts';
import { singleTable } from '../src/routing/routing.ts';
import { LOCAL } from '../src/routing/target.ts';
import { ReplayWindow } from '../src/session/replay.ts';
import { MESSAGE, TRANSPORT, TRANSPORT_OVERHEAD } from '../src/wire/messages.ts';
import { Packet } from '../src/wire/packet.ts';
import { seeded } from '../test/lab/datagrams.ts';
import { ip, tcp, udp } from '../test/wire/packets.ts';
import type { Microbenchmark } from './micro.ts';

const BATCH = 256;
const SUPER = { segments: 45, payload: 1368, header: 40, tcpv4: 1 } as const;
const CIPHERS: readonly CipherName[] = ['aes-256-gcm', 'chacha20-poly1305'];
const ENDLESS = Infinity;
const INDEX = 77;

export const MICROBENCHMARKS: readonly (() => Microbenchmark)[] = [
  () => parsing('parse, IPv4 TCP', ip('172.31.1.10', '192.168.1.10', 6, tcp(1000, 2000, 16))),
  () => parsing('parse, IPv6 UDP', ip('fd00:a:1::10', 'fd00:b:1::10', 17, udp(1000, 2000))),
  ...[10, 1000, 100_000, 1_000_000].map((size) => () => prefixLookup(size)),
  ...[1, 100_000, 1_000_000].map((flows) => () => flowJudgement(flows)),
  () => newFlows(50),
  ...[10, 1000, 10_000].map((size) => () => ruleLookup(size)),
  replay,
  ...CIPHERS.flatMap((cipher) => [
    () => sealing(cipher, 64, 1),
    () => sealing(cipher, 1420, 1),
    () => sealing(cipher, SUPER.header + SUPER.segments * SUPER.payload, SUPER.segments),
    () => opening(cipher, 64),
    () => opening(cipher, 1420),
  ]),
  outboundDecision,
  inboundDecision,
];

function parsing(name: string, bytes: Uint8Array): Microbenchmark {
  const packet = new Packet();
  return {
    name,
    operations: BATCH,
    call: () => {
      for (let number = 0; number < BATCH; number++) packet.parse(bytes, 0, bytes.length);
    },
  };
}

/** Random addresses, of prefixes from /16 to /28 that lie all over the address space. */
function prefixLookup(size: number): Microbenchmark {
  const random = seeded(size);
  const word = (): number => (random() * 2 ** 32) | 0;
  const entries: PrefixEntry[] = Array.from({ length: size }, (_, value) => {
    return { family: 4, address: [0, 0, 0, word()], bits: 16 + Math.floor(random() * 13), value: value & 1023 };
  });
  const table = new PrefixTable(buildPrefixTable(entries));
  const addresses = Int32Array.from({ length: 1 << 12 }, () => entries[Math.floor(random() * size)].address[3]);
  let found = 0;
  return {
    name: `prefix lookup, ${size.toLocaleString('en-US')} prefixes`,
    operations: addresses.length,
    call: () => {
      for (const address of addresses) found += table.lookup(4, 0, 0, 0, address);
      if (Number.isNaN(found)) throw new Error('unreachable, but the lookups are not optimized away');
    },
  };
}

const everything: AclRule = {
  ...{ name: 'all', action: 'allow', direction: 'both', protocol: -1 },
  ...{ sources: [], destinations: [], ports: [], icmpType: -1, icmpCode: -1 },
};

/** Rules of which the last alone matches. */
function rules(count: number): AclRule[] {
  const other: AclRule = { ...everything, protocol: 17, sources: [{ family: 4, address: [0, 0, 0, 1], bits: 32 }] };
  return [...Array.from({ length: count - 1 }, () => other), everything];
}

/** Packets that each match another rule alone, as in a list of who may reach what. */
function ruleLookup(size: number): Microbenchmark {
  const rules = Array.from({ length: size }, (_, number): AclRule => ({
    ...{ ...everything, protocol: 17, ports: [[number % 1000, (number % 1000) + 10]] as const },
    sources: [{ family: 4, address: [0, 0, 0, (10 << 24) + (number << 8)], bits: 24 }],
  }));
  const acl = new Acl(compileAcls([{ rules, otherwise: 'deny' }]));
  const bytes = ip('172.31.1.10', '192.168.1.10', 17, udp(1000, 2000));
  const packet = new Packet();
  packet.parse(bytes, 0, bytes.length);
  let number = 0;
  const call = (): void => {
    for (let count = 0; count < 4096; count++) {
      number = (number + 7919) % size;
      packet.src3 = (10 << 24) + (number << 8) + 9;
      packet.dstPort = number % 1000;
      if (acl.judge(0, OUT, packet) !== number) throw new Error('another rule was found');
    }
  };
  return { name: `rule lookup, ${size.toLocaleString('en-US')} rules`, operations: 4096, call };
}

function policyOf(flows: number): Policy {
  const program = compileAcls([{ rules: rules(50), otherwise: 'deny' }]);
  return new Policy(program, createFlowTable(flows, 1), createPolicyCounters(program));
}

/** Judges packet after packet, of so many flows in turn, in an order without neighbours. */
function judging(name: string, policy: Policy, flows: number, clock: (call: number) => number): Microbenchmark {
  const bytes = ip('172.31.1.10', '192.168.1.10', 17, udp(1000, 2000));
  const packet = new Packet();
  packet.parse(bytes, 0, bytes.length);
  let number = 0;
  let calls = 0;
  const call = (): void => {
    const seconds = clock(calls++);
    for (let count = 0; count < 4096; count++) {
      number = (number + 7919) % flows;
      packet.srcPort = number & 0xffff;
      packet.dst3 = number >>> 16;
      policy.judge(packet, bytes, 0, 0, 0, OUT, seconds, 1);
    }
  };
  return { name, operations: 4096, call };
}

function flowJudgement(flows: number): Microbenchmark {
  const name = `judge, a packet of one of ${flows.toLocaleString('en-US')} flows`;
  const subject = judging(name, policyOf(Math.max(1024, 2 ** Math.ceil(Math.log2(flows)))), flows, () => 1);
  // The first time around they are begun.
  for (let begun = 0; begun < flows; begun += subject.operations) subject.call();
  return subject;
}

function newFlows(count: number): Microbenchmark {
  // A second later than the flows' life everything is new again.
  return judging(`judge, first packet of a flow, ${count} rules`, policyOf(1 << 16), 1 << 16, (call) => call * 1000);
}

function replay(): Microbenchmark {
  const window = new ReplayWindow();
  let counter = 0;
  const call = (): void => {
    for (let number = 0; number < BATCH; number++) window.accept(counter++ | 0, 0);
  };
  return { name: 'replay window, in order', operations: BATCH, call };
}

/** Rows of one packet each; of a super-packet, if it has segments. */
function sealing(cipher: CipherName, length: number, segments: number): Microbenchmark {
  const memory = outboundMemory();
  const stride = (length + 191) & -64;
  const rows = Math.min(BATCH, Math.floor(memory.slab.length / stride) - 1);
  const key = keys.setKey(cipher, new Uint8Array(32), true);
  const packet = ip('172.31.1.10', '192.168.1.10', 6, tcp(1000, 2000, 16, length - 40));
  for (let row = 0; row < rows; row++) {
    const at = row * ROW.words;
    const offset = 64 + row * stride;
    memory.slab.set(packet, offset);
    memory.rows[at + ROW.offset] = offset;
    memory.rows[at + ROW.length] = length;
    memory.rows[at + ROW.segments] = segments;
    memory.rows[at + ROW.key] = key;
    if (segments === 1) continue;
    memory.rows[at + ROW.gso] = SUPER.tcpv4;
    memory.rows[at + ROW.segmentSize] = SUPER.payload;
    memory.rows[at + ROW.header] = SUPER.header;
  }
  const call = (): void => {
    for (let from = 0; from < rows;) {
      from = sealRows(memory.handle, from, rows, 1420);
      discardSealed(memory.handle);
    }
  };
  const what = segments === 1 ? `${length} bytes` : `1420 bytes, as a segment of ${segments}`;
  return {
    name: `seal, ${cipher}, ${what}`,
    operations: rows * segments,
    restore: restorer(memory, 64 + rows * stride),
    call,
  };
}

/** Puts packets and rows back as they are now: what is up to `end` of the slab. */
function restorer({ slab, rows }: { slab: Uint8Array; rows: Int32Array }, end: number): () => void {
  const [packets, table] = [slab.slice(0, end), rows.slice()];
  return () => {
    slab.set(packets);
    rows.set(table);
  };
}

/** Datagrams as they come in, sealed anew whenever they have been opened in place. */
function opening(cipher: CipherName, length: number): Microbenchmark {
  const [sealKey, openKey] = [true, false].map((seals) => keys.setKey(cipher, new Uint8Array(32), seals));
  const sealed = sealedDatagram(sealKey, length);
  const memory = inboundMemory();
  const stride = (sealed.length + 63) & -64;
  const rows = Math.min(BATCH, Math.floor(memory.slab.length / stride));
  for (let row = 0; row < rows; row++) {
    const at = row * ROW.words;
    const offset = row * stride;
    memory.slab.set(sealed, offset);
    memory.rows[at + ROW.offset] = offset;
    memory.rows[at + ROW.length] = sealed.length;
    memory.rows[at + ROW.key] = openKey;
  }
  const restore = restorer(memory, rows * stride);
  openRows(memory.handle, rows);
  if (memory.rows[ROW.verdict] !== 0) throw new Error(`${cipher}: what was sealed does not open`);
  const call = (): void => void openRows(memory.handle, rows);
  return { name: `open, ${cipher}, ${length} bytes`, operations: rows, restore, call };
}

/** A packet of so many bytes as a transport message with counter 0. */
function sealedDatagram(key: number, length: number): Uint8Array {
  let datagram = new Uint8Array(0);
  const queue = memoryOutbound({
    read: (slab, offset) => {
      slab.set(ip('172.31.1.10', '192.168.1.10', 6, tcp(1000, 2000, 16, length - 40)), offset);
      return length;
    },
    send: (bytes, offset, size) => {
      datagram = bytes.slice(offset, offset + size);
      return true;
    },
  });
  queue.useSocket(1, false);
  queue.readTun(1);
  queue.rows[ROW.key] = key;
  queue.seal(0, 1, 1420);
  queue.send();
  return datagram;
}

const TABLE = buildPrefixTable([
  { ...parsePrefix('172.31.0.0/16'), value: LOCAL },
  { ...parsePrefix('192.168.0.0/16'), value: 0 },
]);

/** The routes, rules and flows that both directions are given. */
function govern(direction: { apply(order: RoutingOrder | PolicyOrder | PeerOrder): void }): void {
  const program = compileAcls([{ rules: rules(50), otherwise: 'deny' }]);
  const counters = createPolicyCounters(program);
  direction.apply({ type: 'routing', routing: singleTable(TABLE, 1) });
  direction.apply({ type: 'policy', program, flows: createFlowTable(1 << 12, 1), counters });
  direction.apply({ type: 'peer', slot: 0, acl: 0 });
}

type RoutingOrder = Extract<Parameters<Outbound['apply']>[0], { type: 'routing' }>;
type PolicyOrder = Extract<Parameters<Outbound['apply']>[0], { type: 'policy' }>;
type PeerOrder = Extract<Parameters<Outbound['apply']>[0], { type: 'peer' }>;

/** Parse, two lookups, flow, counters: for each super-packet, with reading, sealing and sending left out. */
function outboundDecision(): Microbenchmark {
  const packet = ip('172.31.1.10', '192.168.1.10', 6, tcp(1000, 2000, 16, 1000));
  const memory = memoryOutbound({ read: () => 0, send: () => true });
  for (let row = 0; row < BATCH; row++) {
    memory.slab.set(packet, row * 2048);
    memory.rows[row * ROW.words + ROW.offset] = row * 2048;
    memory.rows[row * ROW.words + ROW.length] = packet.length;
    memory.rows[row * ROW.words + ROW.segments] = SUPER.segments;
  }
  memory.clock[0] = 1000;
  memory.status[STATUS.runs] = 0;
  const queue = { ...memory, readTun: () => BATCH, seal: (_from: number, to: number) => to, send: () => 0 };
  const outbound = new Outbound(queue, createCounters(), () => undefined);
  govern(outbound);
  outbound.apply({ type: 'sendKey', slot: 0, key: 1, receiver: INDEX, expiresAt: ENDLESS });
  return { name: 'outbound, decision per super-packet', operations: BATCH, call: () => void outbound.round() };
}

/** Index, replay window, roaming and counters for each datagram, and one decision, with the system calls left out. */
function inboundDecision(): Microbenchmark {
  const inner = ip('192.168.1.10', '172.31.1.10', 6, tcp(1000, 2000, 16, 1380));
  const size = inner.length + TRANSPORT_OVERHEAD;
  const memory = memoryInbound({ receive: () => -1, write: () => true });
  const view = new DataView(memory.slab.buffer);
  for (let number = 0; number < SUPER.segments; number++) {
    view.setInt32(number * size, MESSAGE.transport, true);
    view.setInt32(number * size + TRANSPORT.receiver, INDEX, true);
    memory.slab.set(inner, number * size + TRANSPORT.payload);
  }
  memory.buffers[BUFFER.length] = SUPER.segments * size;
  memory.buffers[BUFFER.segment] = size;
  memory.clock[0] = 1000;
  let counter = 0;
  const queue = {
    ...memory,
    receive: () => 1,
    open: (count: number) => count,
    coalesce: (count: number) => {
      memory.groups[GROUP.first] = 0;
      memory.groups[GROUP.count] = count;
      return 1;
    },
    writeTun: () => 1,
  };
  const shared = new Int32Array(new SharedArrayBuffer(SHARED.words * 4));
  const inbound = new Inbound(queue, createCounters(), memoryEndpoints(), shared, () => undefined);
  govern(inbound);
  inbound.apply({ type: 'receiveKey', slot: 0, key: 1, index: INDEX, confirmed: true, expiresAt: ENDLESS });
  const restore = (): void => {
    for (let number = 0; number < SUPER.segments; number++) {
      view.setInt32(number * size + TRANSPORT.counter, counter++, true);
    }
  };
  const name = `inbound, per datagram of a run of ${SUPER.segments}`;
  return { name, operations: SUPER.segments, restore, call: () => void inbound.round() };
}
