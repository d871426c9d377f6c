/**
 * A running tunnel: the TUN, the underlay socket, the two data-plane threads, and the sessions of all peers. What the
 * peers are, and what they may send, is said by its owner: a gateway (gateway.ts) or a plain device (device.ts).
 */
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import {
  bootTime,
  closeFd,
  createTransitRing,
  isRingFull,
  endpoints,
  keys,
  openUdp,
  sendDatagram,
  setMark,
  tunState,
} from '../nic/native.ts';
import type { Tun, UdpSocket } from '../nic/native.ts';
import { COUNTER, MAX_PEERS, countDrop, rowOf, sharedActivity } from '../dataplane/counters.ts';
import type { BundleData } from '../dataplane/bundle.ts';
import { SHARED } from '../dataplane/messages.ts';
import type { LiveTraceData } from '../dataplane/live.ts';
import type { InboundOrder, OutboundOrder, Report } from '../dataplane/messages.ts';
import { publicBytes, type KeyPair } from '../noise/x25519.ts';
import { answerTaken, createProbeMemory } from '../dataplane/probes.ts';
import type { ProbeMemory } from '../dataplane/probes.ts';
import type { AclProgram } from '../policy/acl.ts';
import type { FlowLogData } from '../policy/flow-log-table.ts';
import type { FlowTableData } from '../policy/flow-table.ts';
import type { PolicyCounters } from '../policy/policy.ts';
import type { ShapeSpec } from '../policy/shaper.ts';
import type { RoutingProgram } from '../routing/routing.ts';
import type { Timing } from '../session/constants.ts';
import { Device } from '../session/device.ts';
import type { DeviceOutputs } from '../session/device.ts';
import type { Keypair } from '../session/keypairs.ts';
import type { Peer, PeerOptions } from '../session/peer.ts';
import { DROP, DROP_REASONS } from '../wire/drop.ts';
import { ENDPOINT_WORDS } from '../wire/endpoint.ts';
import type { Endpoint } from '../wire/endpoint.ts';
import type { GatewayAddresses } from '../wire/icmp.ts';
import type { ThreadStatus } from './status.ts';
import { DataThread } from './threads.ts';

export interface Log {
  debug(text: string): void;
  info(text: string): void;
  warn(text: string): void;
  error(text: string): void;
}

/** Why a tunnel ended: it was closed, its interface was deleted, or a part of it failed. */
export type Ending = { reason: 'closed' | 'deleted' } | { reason: 'failed'; error: Error };

export interface TunnelOptions {
  readonly tun: Tun;
  readonly timing: Timing;
  /** A pcap file for the packets of the overlay, or empty. */
  readonly capture: string;
  readonly log: Log;
}

export interface Listen {
  /** 0: any. */
  readonly port: number;
  /** SO_MARK, 0: none. */
  readonly mark: number;
  /** Four words of a local address; absent: all. */
  readonly address?: Int32Array | undefined;
}

/** What went by of a peer, or dropped, since it was added. */
export interface Traffic {
  readonly rxBytes: number;
  readonly txBytes: number;
  readonly rxPackets: number;
  readonly txPackets: number;
  readonly drops: Readonly<Record<string, number>>;
}

/** How often timers, the link and activity are looked at, in ms. */
const TICK = 100;

export class Tunnel {
  readonly tun: Tun;
  /** Settles once, when the tunnel has ended by itself or was closed. */
  readonly ended: Promise<Ending>;
  /** Where the threads note probes and their answers; undefined before `setProbeAddresses`. */
  probes: ProbeMemory | undefined;
  readonly #log: Log;
  readonly #timing: Timing;
  readonly #ring = createTransitRing();
  #bundles: BundleData = Int32Array.of(0);
  readonly #device: Device;
  readonly #outbound: DataThread<OutboundOrder>;
  readonly #inbound: DataThread<InboundOrder>;
  /** The main thread's own drops: what is wrong with handshake messages. */
  readonly #handshakeDrops = new Float64Array(DROP_REASONS.length);
  /** What was dropped of peers that are gone. */
  readonly #formerDrops = new Float64Array(DROP_REASONS.length);
  readonly #peers = new Map<number, Peer>();
  readonly #acls = new Map<number, number>();
  readonly #handshakeBytes = new Map<number, { rx: number; tx: number }>();
  readonly #keys = new Map<Keypair, { receive: number; send: number }>();
  /** Slots that were given back, oldest first; reused last, as late messages may still name them. */
  readonly #freeSlots: number[] = [];
  #nextSlot = 0;
  #listen: Listen = { port: 0, mark: 0 };
  #socket: UdpSocket | undefined;
  /** Why there is no socket although the link is up. */
  #listenError: Error | undefined;
  /** Threads that still use a socket that is to be closed, by fd. */
  readonly #releasing = new Map<number, number>();
  #receiving = 0;
  #mtu = 0;
  #name: string;
  #ticker: NodeJS.Timeout | undefined;
  /** Descriptors must be closed once: their numbers are soon another's. */
  #closed: Promise<void> | undefined;
  #end: (ending: Ending) => void = () => undefined;

  /** Starts the threads; the tunnel is without peers and, until its link is up, without a socket. */
  static async start(options: TunnelOptions): Promise<Tunnel> {
    const tunnel = new Tunnel(options);
    await Promise.all([tunnel.#outbound.ready(), tunnel.#inbound.ready()]);
    tunnel.#tick();
    tunnel.#ticker = setInterval(() => tunnel.#tick(), TICK);
    return tunnel;
  }

  private constructor({ tun, timing, capture, log }: TunnelOptions) {
    this.tun = tun;
    this.#name = tun.name;
    this.#log = log;
    this.#timing = timing;
    this.ended = new Promise((resolve) => (this.#end = resolve));
    const failed = (error: Error): void => this.#end({ reason: 'failed', error });
    const report = (message: Report): void => this.#hear(message);
    const ring = this.#ring;
    this.#outbound = new DataThread('outbound', tun, capture, ring, undefined, report, failed);
    this.#inbound = new DataThread('inbound', tun, capture, ring, this.#outbound.wakeFd, report, failed);
    const environment = {
      random: (length: number) => new Uint8Array(randomBytes(length)),
      ephemeral: newKeyPair,
      wallClock: () => Date.now(),
    };
    this.#device = new Device(this.#outputs(), environment, timing);
  }

  /** The interface's present name: it can be renamed. */
  get name(): string {
    return this.#name;
  }

  get mtu(): number {
    return this.#mtu;
  }

  /** The bound port; while the link is down the one that was asked for. */
  get port(): number {
    return this.#socket?.port ?? this.#listen.port;
  }

  /** Whether the link is up and the socket open. */
  get isListening(): boolean {
    return this.#socket !== undefined;
  }

  get mark(): number {
    return this.#listen.mark;
  }

  /** Adds a peer that nothing is routed to yet. `acl` -1: none. Throws a `RangeError` if there is no room. */
  addPeer(options: Omit<PeerOptions, 'slot' | 'activity'> & { acl: number }): Peer {
    const slot = this.#nextSlot < MAX_PEERS ? this.#nextSlot++ : this.#freeSlots.shift();
    if (slot === undefined) throw new RangeError(`a device holds at most ${MAX_PEERS} peers`);
    this.#handshakeBytes.set(slot, { rx: 0, tx: 0 });
    endpoints.setEndpoint(slot, new Int32Array(ENDPOINT_WORDS));
    const activity = sharedActivity(this.#outbound.counters, this.#inbound.counters, slot);
    const peer = this.#device.addPeer({ ...options, slot, activity });
    this.#peers.set(slot, peer);
    this.setAcl(peer, options.acl);
    if (this.#socket !== undefined) peer.start(bootTime());
    return peer;
  }

  removePeer(peer: Peer): void {
    this.#device.removePeer(peer);
    this.#peers.delete(peer.slot);
    this.#acls.delete(peer.slot);
    this.#handshakeBytes.delete(peer.slot);
    for (const counts of this.#dropsIn(peer.slot))
      counts.forEach((count, reason) => (this.#formerDrops[reason] += count));
    this.#orderBoth({ type: 'peerGone', slot: peer.slot });
    this.#freeSlots.push(peer.slot);
  }

  setAcl(peer: Peer, acl: number): void {
    this.#acls.set(peer.slot, acl);
    this.#orderBoth({ type: 'peer', slot: peer.slot, acl });
  }

  /** How much may go to the peer in `slot`, or come from it; undefined: as much as will. */
  setShape(direction: 'out' | 'in', slot: number, spec: ShapeSpec | undefined, counters: Float64Array): void {
    const thread = direction === 'out' ? this.#outbound : this.#inbound;
    thread.order({ type: 'shape', slot, spec, counters });
  }

  /** Who owns which addresses, and what goes where. Replaces all routes at once. */
  setRouting(routing: RoutingProgram): void {
    this.#orderBoth({ type: 'routing', routing });
  }

  /** What the gateway's ICMP errors come from. */
  setAddresses(addresses: GatewayAddresses): void {
    this.#inbound.order({ type: 'addresses', addresses });
  }

  /** All bundles anew, each with the paths that packets may take. */
  setBundles(bundles: BundleData): void {
    this.#bundles = bundles;
    this.#orderBoth({ type: 'bundles', bundles });
  }

  /** From now on probes that come to these addresses (four words each) are answered, and answers to ours are noted. */
  setProbeAddresses(addresses: Int32Array): void {
    this.probes ??= createProbeMemory();
    this.#orderBoth({ type: 'probes', memory: this.probes, addresses });
  }

  /** Sends a probe, which asks for a session where there is none. */
  probe(peer: Peer, packet: Uint8Array, sequence: number): void {
    this.#outbound.order({ type: 'probe', slot: peer.slot, packet, sequence });
  }

  /** By slot, the peers' lists as the threads know them. */
  get lists(): ReadonlyMap<number, number> {
    return this.#acls;
  }

  /** The bundles as the threads know them. */
  get bundles(): BundleData {
    return this.#bundles;
  }

  /** Whether what goes from peer to peer finds no room now. */
  get isTransitFull(): boolean {
    return isRingFull(this.#ring);
  }

  /** Has the threads note into these rings what they decide; undefined: no more. */
  follow(into: { outbound: LiveTraceData; inbound: LiveTraceData } | undefined): void {
    this.#outbound.order({ type: 'liveTrace', into: into?.outbound });
    this.#inbound.order({ type: 'liveTrace', into: into?.inbound });
  }

  /** From now on every packet is judged. Each thread counts for itself. */
  setPolicy(
    program: AclProgram,
    flows: FlowTableData,
    counters: { outbound: PolicyCounters; inbound: PolicyCounters },
  ): void {
    this.#outbound.order({ type: 'policy', program, flows, counters: counters.outbound });
    this.#inbound.order({ type: 'policy', program, flows, counters: counters.inbound });
  }

  /** What `step` changes takes effect at once, between two batches: no packet meets a part of it. */
  together<T>(step: () => T): T {
    this.#outbound.hold();
    this.#inbound.hold();
    try {
      return step();
    } finally {
      this.#outbound.release();
      this.#inbound.release();
    }
  }

  /** Lets the threads note what they see into these tables, or, without them, no more. */
  setFlowLog(tables?: { outbound: FlowLogData; inbound: FlowLogData }): void {
    this.#outbound.order({ type: 'flowLog', into: tables?.outbound });
    this.#inbound.order({ type: 'flowLog', into: tables?.inbound });
  }

  /** What is added to the numbers of rules in those tables; -1: nothing is said of rules. */
  setFlowRules(base: number): void {
    this.#orderBoth({ type: 'flowRules', base });
  }

  setEndpoint(peer: Peer, endpoint: Endpoint): void {
    endpoints.setEndpoint(peer.slot, endpoint);
    peer.expectAt(endpoint);
    this.#orderBoth({ type: 'peer', slot: peer.slot, acl: this.#acls.get(peer.slot) ?? -1 });
  }

  /** Where the peer is, if that is known. */
  endpoint(peer: Peer): Endpoint | undefined {
    const endpoint = new Int32Array(ENDPOINT_WORDS);
    return endpoints.getEndpoint(peer.slot, endpoint) ? endpoint : undefined;
  }

  /** Opens the socket of a link that was just brought up, rather than with the next tick. Throws if it can't be bound. */
  openSocket(): void {
    this.#tick();
    if (this.#listenError !== undefined) throw this.#listenError;
  }

  /** Asks for a session now rather than with the first packet. */
  connect(peer: Peer): void {
    if (this.#socket !== undefined && this.endpoint(peer) !== undefined) peer.wantSession(bootTime());
  }

  /** Says where to listen. With the link up it is done at once, and throws if it can't be, leaving all as it was. */
  listen(listen: Listen): void {
    const { port, mark, address } = this.#listen;
    const sameAddress = String(listen.address) === String(address);
    if (this.#socket !== undefined) {
      if (listen.port === (port || this.#socket.port) && sameAddress) {
        if (listen.mark !== mark) setMark(this.#socket.fd, listen.mark);
      } else {
        this.#useSocket(openUdp(listen.port, listen.mark, listen.address));
      }
    }
    this.#listen = listen;
  }

  traffic(peer: Peer): Traffic {
    const handshakes = this.#handshakeBytes.get(peer.slot) ?? { rx: 0, tx: 0 };
    const row = rowOf(peer.slot);
    const [outbound, inbound] = [this.#outbound.counters, this.#inbound.counters];
    return {
      rxBytes: inbound[row + COUNTER.bytes] + handshakes.rx,
      txBytes: outbound[row + COUNTER.bytes] + handshakes.tx,
      rxPackets: inbound[row + COUNTER.packets],
      txPackets: outbound[row + COUNTER.packets],
      drops: dropsOf(...this.#dropsIn(peer.slot)),
    };
  }

  /** What was dropped and is no peer's, by reason. */
  drops(): Record<string, number> {
    return dropsOf(...this.#dropsIn(-1), this.#handshakeDrops);
  }

  /** Everything that was dropped since the start, by each reason there is, also of peers that are gone. */
  allDrops(): Record<string, number> {
    const ofPeers = Array.from(this.#peers.keys(), (slot) => this.#dropsIn(slot)).flat();
    const some = dropsOf(...this.#dropsIn(-1), ...ofPeers, this.#handshakeDrops, this.#formerDrops);
    return Object.fromEntries(DROP_REASONS.slice(1).map((reason) => [reason, some[reason] ?? 0]));
  }

  /** Whether both threads have looked for orders since this was last asked. */
  isAlive(): boolean {
    const looked = [this.#outbound, this.#inbound].map((thread) => thread.hasLooked());
    return looked.every((each) => each);
  }

  threads(): ThreadStatus[] {
    return [this.#outbound.status(), this.#inbound.status()];
  }

  /** Ends the threads, forgets all keys, and deletes the interface. May be called again. */
  close(): Promise<void> {
    return (this.#closed ??= this.#close());
  }

  async #close(): Promise<void> {
    clearInterval(this.#ticker);
    this.#device.close();
    await Promise.all([this.#outbound.end(), this.#inbound.end()]);
    if (this.#socket !== undefined) closeFd(this.#socket.fd);
    for (const fd of this.#releasing.keys()) closeFd(fd);
    this.#socket = undefined;
    closeFd(this.tun.fd);
    this.#end({ reason: 'closed' });
  }

  #tick(): void {
    const state = tunState(this.tun.fd);
    if (state === undefined) {
      clearInterval(this.#ticker);
      return this.#end({ reason: 'deleted' });
    }
    this.#name = state.name;
    if (state.mtu !== this.#mtu && state.mtu > 0) {
      this.#mtu = state.mtu;
      this.#orderBoth({ type: 'mtu', mtu: state.mtu });
    }
    if (state.up !== (this.#socket !== undefined)) this.#setLink(state.up);
    this.#device.tick(bootTime());
  }

  #setLink(up: boolean): void {
    if (!up) {
      this.#log.debug('interface down');
      for (const peer of this.#peers.values()) peer.stop();
      return this.#useSocket(undefined);
    }
    try {
      this.#useSocket(openUdp(this.#listen.port, this.#listen.mark, this.#listen.address));
    } catch (error) {
      // The next tick tries again: the port may become free.
      if (this.#listenError === undefined)
        this.#log.error(`UDP port ${this.#listen.port}: ${(error as Error).message}`);
      this.#listenError = error as Error;
      return;
    }
    this.#listenError = undefined;
    this.#log.debug(`interface up, UDP port ${this.port}`);
    for (const peer of this.#peers.values()) peer.start(bootTime());
  }

  /** The old socket is closed once both threads have let go of it. */
  #useSocket(socket: UdpSocket | undefined): void {
    if (this.#socket !== undefined) this.#releasing.set(this.#socket.fd, 2);
    this.#socket = socket;
    this.#orderBoth({ type: 'socket', fd: socket?.fd ?? -1, gso: socket?.gso ?? false });
  }

  /** A slot's counters of drops, of either thread. */
  #dropsIn(slot: number): Float64Array[] {
    const row = rowOf(slot);
    const threads = [this.#outbound, this.#inbound];
    return threads.map(({ counters }) => counters.subarray(row + COUNTER.drops, row + COUNTER.words));
  }

  #orderBoth(order: OutboundOrder & InboundOrder): void {
    this.#outbound.order(order);
    this.#inbound.order(order);
  }

  #hear(message: Report): void {
    switch (message.type) {
      case 'ready':
        break;
      case 'released': {
        const left = (this.#releasing.get(message.fd) ?? 1) - 1;
        if (left > 0) this.#releasing.set(message.fd, left);
        else if (this.#releasing.delete(message.fd)) closeFd(message.fd);
        break;
      }
      case 'handshake': {
        const queued = Atomics.sub(this.#inbound.shared, SHARED.handshakes, 1) - 1;
        this.#receiving = message.message.length;
        const reason = this.#device.receive(message.message, message.from, bootTime(), queued);
        if (reason !== 0) this.#handshakeDrops[reason]++;
        break;
      }
      case 'wanted': {
        const peer = this.#peers.get(message.slot);
        if (peer === undefined) break;
        if (this.endpoint(peer) === undefined) countDrop(this.#outbound.counters, message.slot, DROP['no-endpoint'], 1);
        else peer.wantSession(bootTime());
        break;
      }
      case 'confirmed':
        this.#peers.get(message.slot)?.confirm(message.index >>> 0, bootTime());
        break;
      case 'probed':
        if (this.probes !== undefined) answerTaken(this.probes, message.slot);
        this.#outbound.order({ type: 'probe', slot: message.slot, packet: message.answer, sequence: -1 });
        break;
      case 'tunFailed':
        // A deleted interface is noticed by the next tick.
        this.#log.debug('the TUN reports an error');
        break;
    }
  }

  #outputs(): DeviceOutputs {
    return {
      sendHandshake: (peer, message) => {
        const endpoint = this.endpoint(peer);
        if (this.#socket === undefined || endpoint === undefined) return;
        const result = sendDatagram(this.#socket.fd, peer.slot, endpoint, message);
        if (result < 0) this.#handshakeDrops[DROP['send-failed']]++;
        else this.#handshakeBytes.get(peer.slot)!.tx += message.length;
      },
      reply: (to, message) => {
        if (this.#socket !== undefined) sendDatagram(this.#socket.fd, -1, to, message);
      },
      endpointChanged: (peer, from) => {
        this.#handshakeBytes.get(peer.slot)!.rx += this.#receiving;
        this.setEndpoint(peer, from);
      },
      keypairReady: (peer, keypair) => {
        const key = keys.setKey(keypair.cipher, keypair.receiveKey, false);
        this.#keys.set(keypair, { receive: key, send: 0 });
        this.#inbound.order({
          type: 'receiveKey',
          slot: peer.slot,
          key,
          index: keypair.localIndex | 0,
          confirmed: keypair.isInitiator,
          expiresAt: keypair.createdAt + this.#timing.rejectAfterTime,
        });
      },
      keypairInUse: (peer, keypair) => {
        const key = keys.setKey(keypair.cipher, keypair.sendKey, true);
        this.#keys.get(keypair)!.send = key;
        this.#outbound.order({
          type: 'sendKey',
          slot: peer.slot,
          key,
          receiver: keypair.remoteIndex | 0,
          expiresAt: keypair.createdAt + this.#timing.rejectAfterTime,
        });
        this.#log.debug(`session with peer ${peer.slot}, ${keypair.cipher}`);
      },
      keypairGone: (peer, keypair) => {
        const handles = this.#keys.get(keypair);
        if (handles === undefined) return;
        this.#keys.delete(keypair);
        this.#inbound.order({ type: 'receiveKeyGone', index: keypair.localIndex | 0 });
        if (handles.send !== 0) this.#outbound.order({ type: 'sendKeyGone', slot: peer.slot, key: handles.send });
        keys.freeKey(handles.receive);
        if (handles.send !== 0) keys.freeKey(handles.send);
      },
      sendKeepalive: (peer) => this.#outbound.order({ type: 'keepalive', slot: peer.slot }),
      discardStaged: (peer) => this.#outbound.order({ type: 'discardStaged', slot: peer.slot }),
    };
  }
}

function newKeyPair(): KeyPair {
  const { privateKey, publicKey } = generateKeyPairSync('x25519');
  return { privateKey, publicKey: publicBytes(publicKey) };
}

function dropsOf(...counts: Float64Array[]): Record<string, number> {
  const drops: Record<string, number> = {};
  for (const [number, reason] of DROP_REASONS.entries()) {
    const sum = counts.reduce((total, count) => total + count[number], 0);
    if (sum > 0) drops[reason] = sum;
  }
  return drops;
}
