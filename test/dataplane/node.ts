import { packBundles, type BundleData, type BundlePaths } from '../../src/dataplane/bundle.ts';
import { COUNTER, MAX_PEERS, countDrop, createCounters, rowOf, sharedActivity } from '../../src/dataplane/counters.ts';
import type { Programs } from '../../src/dataplane/explain.ts';
import { Inbound } from '../../src/dataplane/inbound.ts';
import { createLiveTrace, type LiveFilter, type LiveTraceData } from '../../src/dataplane/live.ts';
import { SHARED, type InboundOrder, type OutboundOrder, type Report } from '../../src/dataplane/messages.ts';
import { Outbound } from '../../src/dataplane/outbound.ts';
import { answerTaken, type ProbeMemory } from '../../src/dataplane/probes.ts';
import type { InboundQueue, OutboundQueue } from '../../src/nic/index.ts';
import { BUFFER } from '../../src/nic/layout.ts';
import { memoryEndpoints, memoryInbound, memoryOutbound } from '../../src/nic/memory.ts';
import { createTransitRing, keys } from '../../src/nic/native.ts';
import { keyPair } from '../../src/noise/x25519.ts';
import { compileAcls, type AclProgram, type AclSpec } from '../../src/policy/acl.ts';
import { createFlowTable, FlowTable, type FlowTableData } from '../../src/policy/flow-table.ts';
import { parsePrefix } from '../../src/routing/prefix.ts';
import { createPolicyCounters, type PolicyCounters } from '../../src/policy/counters.ts';
import { buildPrefixTable } from '../../src/routing/prefix-table.ts';
import { singleTable, type RoutingProgram } from '../../src/routing/routing.ts';
import { LOCAL } from '../../src/routing/target.ts';
import { DEFAULT_TIMING, type Counter } from '../../src/session/constants.ts';
import { Device, type DeviceOutputs } from '../../src/session/device.ts';
import type { Credential } from '../../src/session/identities.ts';
import type { Keypair } from '../../src/session/keypairs.ts';
import type { Peer } from '../../src/session/peer.ts';
import { DROP, DROP_REASONS } from '../../src/wire/drop.ts';
import { ENDPOINT, ENDPOINT_WORDS, endpointFrom, type Endpoint } from '../../src/wire/endpoint.ts';
import { seeded } from '../session/world.ts';
import { packetWords } from '../wire/packets.ts';
import type { Host, Underlay } from '../session/underlay.ts';

const NOON = 1_700_000_000_000;
const FLOWS = 1 << 12;
/** What fits into a UDP datagram over IPv4. */
const MAX_DATAGRAM = 65507;

/** A device with its data plane: both directions in one thread, orders obeyed as soon as they are given. */
export class Node implements Host {
  endpoint: Endpoint;
  /** The packets that came out of the TUN, in order. */
  readonly received: Uint8Array[] = [];
  /** What gateways said about their peerings: the slot, and the bytes. */
  readonly said: [slot: number, payload: Uint8Array][] = [];
  /** False: what the data plane reports waits. */
  hearing = true;
  /** True: the outbound direction does nothing, and what is handed on to it waits. */
  outboundRests = false;
  /** False: the TUN, or the socket, takes nothing. */
  tunUp = true;
  socketUp = true;
  /** Where the counters of new keys begin, if not at 0. */
  firstCounter: Counter | undefined;
  /** Those that were ever used to send; the bytes of those that are gone are wiped. */
  readonly keypairs: Keypair[] = [];
  readonly outbound: Outbound;
  readonly inbound: Inbound;
  readonly #outboundQueue: OutboundQueue;
  readonly #inboundQueue: InboundQueue;
  readonly #underlay: Underlay;
  readonly #device: Device;
  readonly #flows: FlowTableData;
  #routing: RoutingProgram | undefined;
  #program: AclProgram | undefined;
  #bundles: BundleData = packBundles([]);
  readonly #outCounters = createCounters();
  readonly #inCounters = createCounters();
  readonly #handshakeDrops = new Float64Array(DROP_REASONS.length);
  readonly #shared = new Int32Array(new SharedArrayBuffer(SHARED.words * 4));
  readonly #endpoints = memoryEndpoints();
  readonly #peers = new Map<number, Peer>();
  readonly #acls = new Map<number, number>();
  readonly #keys = new Map<Keypair, { receive: number; send: number }>();
  readonly #tun: { bytes: Uint8Array; words: Record<number, number> }[] = [];
  readonly #socket: { bytes: Uint8Array; from: Endpoint }[] = [];
  readonly #reports: Report[] = [];
  #probes: ProbeMemory | undefined;

  constructor(underlay: Underlay, address: string, seed: number, flows = FLOWS) {
    this.#flows = createFlowTable(flows, 1);
    this.#underlay = underlay;
    underlay.hosts.push(this);
    this.endpoint = endpointFrom(address, 51820);
    const random = seeded(seed);
    const environment = { random, ephemeral: () => keyPair(random(32)), wallClock: () => NOON + underlay.now };
    this.#device = new Device(this.#outputs(), environment);
    const ring = createTransitRing();
    this.#outboundQueue = memoryOutbound(
      {
        read: (slab, offset, rows, row) => {
          const packet = this.#tun.shift();
          if (packet === undefined) return 0;
          slab.set(packet.bytes, offset);
          for (const [word, value] of Object.entries(packet.words)) rows[row + Number(word)] = value;
          return packet.bytes.length;
        },
        send: (bytes, offset, length, slot) => this.socketUp && this.#send(slot, bytes.slice(offset, offset + length)),
      },
      ring,
    );
    this.#inboundQueue = memoryInbound(
      {
        receive: (slab, offset, buffers, buffer) => {
          const datagram = this.#socket.shift();
          if (datagram === undefined) return -1;
          slab.set(datagram.bytes, offset);
          buffers.set(datagram.from, buffer + BUFFER.endpoint);
          return datagram.bytes.length;
        },
        write: (bytes, offset, length) => {
          if (this.tunUp) this.received.push(bytes.slice(offset, offset + length));
          return this.tunUp;
        },
      },
      ring,
    );
    const report = (message: Report): void => void this.#reports.push(message);
    this.outbound = new Outbound(this.#outboundQueue, this.#outCounters, report);
    this.inbound = new Inbound(this.#inboundQueue, this.#inCounters, this.#endpoints, this.#shared, report);
    this.#orderBoth({ type: 'socket', fd: 1, gso: true });
    this.#orderBoth({ type: 'mtu', mtu: 1420 });
  }

  /** A started peer, in the next slot. Without an endpoint it has to call. */
  connect(
    credentials: Credential[],
    to?: Endpoint,
    options: { acl?: number; persistentKeepalive?: number } = {},
  ): Peer {
    const slot = this.#peers.size;
    const { acl = 0, persistentKeepalive = 0 } = options;
    this.#acls.set(slot, acl);
    this.moveTo(slot, to ?? new Int32Array(ENDPOINT_WORDS));
    const activity = sharedActivity(this.#outCounters, this.#inCounters, slot);
    const peer = this.#device.addPeer({ slot, credentials, persistentKeepalive, activity });
    this.#peers.set(slot, peer);
    peer.start(this.#underlay.now);
    return peer;
  }

  /** In the order of their slots. */
  get peers(): Peer[] {
    return [...this.#peers.values()];
  }

  /** Which prefixes are whose: `local`, or a peer's by its slot. */
  route(owners: Record<string, number | 'local'>): void {
    const entries = Object.entries(owners).map(([cidr, owner]) => {
      return { ...parsePrefix(cidr), value: owner === 'local' ? LOCAL : owner };
    });
    this.routeBy(singleTable(buildPrefixTable(entries), MAX_PEERS));
  }

  /** Makes the device a gateway, which judges every packet. */
  judge(acls: AclSpec[]): void {
    const program = compileAcls(acls);
    this.judgeBy(program, createPolicyCounters(program));
  }

  /** The same, by compiled lists and with these counters: there is one thread, so one writer. */
  judgeBy(program: AclProgram, counters: PolicyCounters): void {
    this.#program = program;
    this.#orderBoth({ type: 'policy', program, flows: this.#flows, counters });
  }

  /** What the ICMP errors of the gateway come from. */
  answerFrom(ipv4: string, ipv6: string): void {
    const [words4, words6] = [ipv4, ipv6].map((address) => Int32Array.from(packetWords(address)));
    this.#orderBoth({ type: 'addresses', addresses: { ipv4: words4, ipv6: words6 } });
  }

  /** Routes by a program, in which an attachment has a table of its own. */
  routeBy(routing: RoutingProgram): void {
    this.#routing = routing;
    this.#orderBoth({ type: 'routing', routing });
  }

  /** Gives an order to both directions, or to the outbound one. */
  orderBoth(order: OutboundOrder & InboundOrder): void {
    if (order.type === 'probes') this.#probes = order.memory;
    this.#orderBoth(order);
  }

  order(order: OutboundOrder): void {
    this.#setClocks();
    this.outbound.apply(order);
  }

  /** What the data plane decides by. */
  programs(mtu: number): Programs {
    const bundles = this.#bundles;
    return { routing: this.#routing!, bundles, program: this.#program!, flows: this.#flows, mtu, lists: this.#acls };
  }

  /** All bundles anew. */
  bundle(bundles: readonly BundlePaths[]): void {
    this.#bundles = packBundles(bundles);
    this.#orderBoth({ type: 'bundles', bundles: this.#bundles });
  }

  /** A live trace of what both directions decide. */
  follow(filter: LiveFilter): { outbound: LiveTraceData; inbound: LiveTraceData } {
    const [outbound, inbound] = [createLiveTrace(filter), createLiveTrace(filter)];
    this.outbound.apply({ type: 'liveTrace', into: outbound });
    this.inbound.apply({ type: 'liveTrace', into: inbound });
    return { outbound, inbound };
  }

  mtu(mtu: number): void {
    this.#orderBoth({ type: 'mtu', mtu });
  }

  /** Gives packets to the TUN, which are read at once. */
  send(...packets: Uint8Array[]): void {
    this.#tun.push(...packets.map((bytes) => ({ bytes, words: {} })));
    this.work();
  }

  /** Gives the TUN a packet that its row describes in these words. */
  sendRow(bytes: Uint8Array, words: Record<number, number>): void {
    this.#tun.push({ bytes, words });
    this.work();
  }

  arrive(bytes: Uint8Array, from: Endpoint): void {
    this.#socket.push({ bytes, from });
  }

  /** Runs both directions until there is nothing left to do. */
  work(): void {
    this.#setClocks();
    do {
      while (this.inbound.round() > 0);
      // Last, as it sends what the other direction hands on.
      while (!this.outboundRests && this.outbound.round() > 0);
    } while (this.hearing && this.#hear());
  }

  tick(): void {
    this.#setClocks();
    this.#device.tick(this.#underlay.now);
    this.work();
  }

  /** Where a peer is thought to be. */
  whereIs(slot: number): Endpoint | undefined {
    const endpoint = new Int32Array(ENDPOINT_WORDS);
    return this.#endpoints.getEndpoint(slot, endpoint) ? endpoint : undefined;
  }

  /** Says where a peer is, as a handshake or the operator does. */
  moveTo(slot: number, endpoint: Endpoint): void {
    this.#endpoints.setEndpoint(slot, endpoint);
    this.#orderBoth({ type: 'peer', slot, acl: this.#acls.get(slot) ?? -1 });
  }

  removePeer(peer: Peer): void {
    this.#device.removePeer(peer);
    this.#peers.delete(peer.slot);
    this.#orderBoth({ type: 'peerGone', slot: peer.slot });
  }

  /** What was dropped of a peer, or, without one, of nobody, by reason. */
  drops(slot = -1): Record<string, number> {
    const drops: Record<string, number> = {};
    for (const [number, reason] of DROP_REASONS.entries()) {
      const at = rowOf(slot) + COUNTER.drops + number;
      const count = this.#outCounters[at] + this.#inCounters[at] + (slot < 0 ? this.#handshakeDrops[number] : 0);
      if (count > 0) drops[reason] = count;
    }
    return drops;
  }

  /** Drops of all peers and of nobody. */
  dropped(): number {
    const counts = [-1, ...this.#peers.keys()].flatMap((slot) => Object.values(this.drops(slot)));
    return counts.reduce((sum, count) => sum + count, 0);
  }

  traffic(slot: number): { sent: number; sentBytes: number; received: number; receivedBytes: number } {
    const row = rowOf(slot);
    return {
      sent: this.#outCounters[row + COUNTER.packets],
      sentBytes: this.#outCounters[row + COUNTER.bytes],
      received: this.#inCounters[row + COUNTER.packets],
      receivedBytes: this.#inCounters[row + COUNTER.bytes],
    };
  }

  /** How many flows are live. */
  flows(): number {
    return new FlowTable(this.#flows).stats(Math.floor(this.#underlay.now / 1000)).live;
  }

  #orderBoth(order: OutboundOrder & InboundOrder): void {
    this.outbound.apply(order);
    this.inbound.apply(order);
  }

  #setClocks(): void {
    this.#outboundQueue.clock[0] = this.#underlay.now;
    this.#inboundQueue.clock[0] = this.#underlay.now;
  }

  #send(slot: number, bytes: Uint8Array): boolean {
    const to = this.whereIs(slot);
    if (to === undefined || bytes.length > MAX_DATAGRAM) return false;
    this.#underlay.carry(this.endpoint, to, bytes);
    return true;
  }

  /** Takes the reports that have come. False if there are none. */
  #hear(): boolean {
    const { now } = this.#underlay;
    const reports = this.#reports.splice(0);
    for (const report of reports) {
      if (report.type === 'handshake') {
        const queued = Atomics.sub(this.#shared, SHARED.handshakes, 1) - 1;
        const reason = this.#device.receive(report.message, report.from, now, queued);
        if (reason !== DROP.none) this.#handshakeDrops[reason]++;
      } else if (report.type === 'wanted') {
        if (this.whereIs(report.slot) === undefined) countDrop(this.#outCounters, report.slot, DROP['no-endpoint'], 1);
        else this.#peers.get(report.slot)?.wantSession(now);
      } else if (report.type === 'probed') {
        answerTaken(this.#probes!, report.slot);
        this.outbound.apply({ type: 'probe', slot: report.slot, packet: report.answer, sequence: -1 });
      } else if (report.type === 'control') {
        this.said.push([report.slot, report.payload]);
      } else if (report.type === 'confirmed') {
        this.#peers.get(report.slot)?.confirm(report.index >>> 0, now);
      }
    }
    return reports.length > 0;
  }

  #outputs(): DeviceOutputs {
    return {
      isLocated: () => true,
      sendHandshake: (peer, message) => void this.#send(peer.slot, message),
      reply: (to, message) => this.#underlay.carry(this.endpoint, to, message),
      forgetSource: ({ slot }) => {
        const endpoint = this.whereIs(slot);
        if (endpoint !== undefined) this.moveTo(slot, endpoint.fill(0, ENDPOINT.local));
      },
      endpointChanged: (peer, from) => this.moveTo(peer.slot, from),
      keypairReady: ({ slot }, keypair) => {
        const key = keys.setKey(keypair.cipher, keypair.receiveKey, false);
        this.#keys.set(keypair, { receive: key, send: 0 });
        const [index, confirmed] = [keypair.localIndex | 0, keypair.isInitiator];
        const expiresAt = keypair.createdAt + DEFAULT_TIMING.rejectAfterTime;
        this.inbound.apply({ type: 'receiveKey', slot, key, index, confirmed, expiresAt });
      },
      keypairInUse: ({ slot }, keypair) => {
        const key = keys.setKey(keypair.cipher, keypair.sendKey, true);
        this.#keys.get(keypair)!.send = key;
        this.keypairs.push(keypair);
        const receiver = keypair.remoteIndex | 0;
        const expiresAt = keypair.createdAt + DEFAULT_TIMING.rejectAfterTime;
        const first = this.firstCounter && { first: this.firstCounter };
        this.outbound.apply({ type: 'sendKey', slot, key, receiver, expiresAt, ...first });
      },
      keypairGone: ({ slot }, keypair) => {
        const { receive, send } = this.#keys.get(keypair)!;
        this.#keys.delete(keypair);
        this.inbound.apply({ type: 'receiveKeyGone', index: keypair.localIndex | 0 });
        this.outbound.apply({ type: 'sendKeyGone', slot, key: send });
        keys.freeKey(receive);
        keys.freeKey(send);
      },
      sendKeepalive: ({ slot }) => this.outbound.apply({ type: 'keepalive', slot }),
      refused: () => undefined,
      discardStaged: ({ slot }) => this.outbound.apply({ type: 'discardStaged', slot }),
    };
  }
}
