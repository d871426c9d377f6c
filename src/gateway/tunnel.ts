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
  ringUsed,
  sendDatagram,
  tunState,
} from '../nic/native.ts';
import type { Tun } from '../nic/native.ts';
import { MAX_PEERS, countDrop, sharedActivity } from '../dataplane/counters.ts';
import type { BundleData } from '../dataplane/bundle.ts';
import { SHARED } from '../dataplane/messages.ts';
import type { LiveTraceData } from '../dataplane/live.ts';
import type { InboundOrder, OutboundOrder, Report } from '../dataplane/messages.ts';
import { publicBytes, type KeyPair } from '../noise/x25519.ts';
import { writeControl } from '../wire/control.ts';
import { answerTaken, createProbeMemory } from '../dataplane/probes.ts';
import type { ProbeMemory } from '../dataplane/probes.ts';
import type { AclProgram } from '../policy/acl.ts';
import type { FlowLogData } from '../policy/flow-log-table.ts';
import type { FlowTableData } from '../policy/flow-table.ts';
import type { PolicyCounters } from '../policy/counters.ts';
import type { ShapeSpec } from '../policy/shaper.ts';
import type { RoutingProgram } from '../routing/routing.ts';
import type { Timing } from '../session/constants.ts';
import { Device } from '../session/device.ts';
import type { DeviceOutputs } from '../session/device.ts';
import type { Peer, PeerOptions } from '../session/peer.ts';
import { DROP } from '../wire/drop.ts';
import { ENDPOINT, ENDPOINT_WORDS } from '../wire/endpoint.ts';
import type { Endpoint } from '../wire/endpoint.ts';
import type { GatewayAddresses } from '../wire/icmp.ts';
import { KeySlots } from './key-slots.ts';
import { Refusals } from './refusals.ts';
import type { ThreadStatus } from './status.ts';
import { DataThread } from './threads.ts';
import { TrafficCounts } from './traffic.ts';
import type { Traffic } from './traffic.ts';
import { Underlay } from './underlay.ts';
import type { Listen } from './underlay.ts';

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

/** How often timers, the link and activity are looked at, in ms. */
const TICK = 100;

export class Tunnel {
  readonly tun: Tun;
  /** Settles once, when the tunnel has ended by itself or was closed. */
  readonly ended: Promise<Ending>;
  /** Where the threads note probes and their answers; undefined before `setProbeAddresses`. */
  probes: ProbeMemory | undefined;
  /** Handshake messages that were dropped. */
  readonly refusals = new Refusals();
  readonly #log: Log;
  readonly #ring = createTransitRing();
  #bundles: BundleData = Int32Array.of(0);
  readonly #device: Device;
  readonly #outbound: DataThread<OutboundOrder>;
  readonly #inbound: DataThread<InboundOrder>;
  readonly #counts: TrafficCounts;
  readonly #keys: KeySlots;
  readonly #underlay: Underlay;
  readonly #peers = new Map<number, Peer>();
  readonly #acls = new Map<number, number>();
  /** Slots that were given back, oldest first; reused last, as late messages may still name them. */
  readonly #freeSlots: number[] = [];
  #nextSlot = 0;
  #receiving = 0;
  #mtu = 0;
  #heard: (slot: number, payload: Uint8Array) => void = () => undefined;
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
    this.ended = new Promise((resolve) => (this.#end = resolve));
    const failed = (error: Error): void => this.#end({ reason: 'failed', error });
    const report = (message: Report): void => this.#hear(message);
    const ring = this.#ring;
    this.#outbound = new DataThread('outbound', tun, capture, ring, undefined, report, failed);
    this.#inbound = new DataThread('inbound', tun, capture, ring, this.#outbound.wakeFd, report, failed);
    this.#counts = new TrafficCounts(this.#outbound.counters, this.#inbound.counters);
    this.#keys = new KeySlots(this.#outbound, this.#inbound, timing);
    this.#underlay = new Underlay(
      (socket) => this.#orderBoth({ type: 'socket', fd: socket?.fd ?? -1, gso: socket?.gso ?? false }),
      log,
    );
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
    return this.#underlay.port;
  }

  /** Whether the link is up and the socket open. */
  get isListening(): boolean {
    return this.#underlay.isOpen;
  }

  get mark(): number {
    return this.#underlay.mark;
  }

  /**
   * Adds a peer that nothing is routed to yet. `acl` -1: none; `endpoint`: where it is, if that is known. Throws a
   * `RangeError` if there is no room.
   */
  addPeer(options: Omit<PeerOptions, 'slot' | 'activity'> & { acl: number; endpoint?: Endpoint | undefined }): Peer {
    const slot = this.#nextSlot < MAX_PEERS ? this.#nextSlot++ : this.#freeSlots.shift();
    if (slot === undefined) throw new RangeError(`a device holds at most ${MAX_PEERS} peers`);
    this.#counts.add(slot);
    // A peer with a keepalive calls as soon as it is started.
    endpoints.setEndpoint(slot, options.endpoint ?? new Int32Array(ENDPOINT_WORDS));
    const activity = sharedActivity(this.#outbound.counters, this.#inbound.counters, slot);
    const peer = this.#device.addPeer({ ...options, slot, activity });
    this.#peers.set(slot, peer);
    this.setAcl(peer, options.acl);
    if (this.isListening) peer.start(bootTime());
    return peer;
  }

  removePeer(peer: Peer): void {
    this.#device.removePeer(peer);
    this.#peers.delete(peer.slot);
    this.#acls.delete(peer.slot);
    this.#counts.remove(peer.slot);
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

  /** From now on `hear` is told what the peers' gateways say about their peerings. */
  listenTo(hear: (slot: number, payload: Uint8Array) => void): void {
    this.#heard = hear;
    this.#inbound.order({ type: 'control' });
  }

  /** Says something to the peer's gateway, which asks for a session where there is none; then it is not said. */
  say(peer: Peer, payload: Uint8Array): void {
    this.#outbound.order({ type: 'probe', slot: peer.slot, packet: writeControl(payload), sequence: -1 });
  }

  /** By slot, the peers' lists as the threads know them. */
  get lists(): ReadonlyMap<number, number> {
    return this.#acls;
  }

  /** The bundles as the threads know them. */
  get bundles(): BundleData {
    return this.#bundles;
  }

  /** Bytes that wait on their way from peer to peer. */
  get transitQueue(): number {
    return ringUsed(this.#ring);
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
    if (this.#underlay.error !== undefined) throw this.#underlay.error;
  }

  /** Asks for a session now rather than with the first packet. */
  connect(peer: Peer): void {
    if (this.isListening && this.endpoint(peer) !== undefined) peer.wantSession(bootTime());
  }

  /** Says where to listen. With the link up it is done at once, and throws if it can't be, leaving all as it was. */
  listen(listen: Listen): void {
    this.#underlay.listen(listen);
  }

  traffic(peer: Peer): Traffic {
    return this.#counts.of(peer.slot);
  }

  /** What was dropped and is no peer's, by reason. */
  drops(): Record<string, number> {
    return this.#counts.drops();
  }

  /** Everything that was dropped since the start, by each reason there is, also of peers that are gone. */
  allDrops(): Record<string, number> {
    return this.#counts.allDrops();
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
    this.#underlay.close();
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
    if (state.up !== this.isListening) this.#setLink(state.up);
    this.#device.tick(bootTime());
  }

  #setLink(up: boolean): void {
    if (!up) {
      this.#log.debug('interface down');
      for (const peer of this.#peers.values()) peer.stop();
      return this.#underlay.shut();
    }
    if (!this.#underlay.open()) return;
    this.#log.debug(`interface up, UDP port ${this.port}`);
    for (const peer of this.#peers.values()) peer.start(bootTime());
  }

  #orderBoth(order: OutboundOrder & InboundOrder): void {
    this.#outbound.order(order);
    this.#inbound.order(order);
  }

  #hear(message: Report): void {
    switch (message.type) {
      case 'ready':
        break;
      case 'released':
        this.#underlay.released(message.fd);
        break;
      case 'handshake': {
        const queued = Atomics.sub(this.#inbound.shared, SHARED.handshakes, 1) - 1;
        this.#receiving = message.message.length;
        const reason = this.#device.receive(message.message, message.from, bootTime(), queued);
        if (reason !== 0) this.#counts.handshakeDropped(reason);
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
      case 'control':
        this.#heard(message.slot, message.payload);
        break;
      case 'tunFailed':
        // A deleted interface is noticed by the next tick.
        this.#log.debug('the TUN reports an error');
        break;
      case 'captureEnded':
        this.#log.error(`the capture ended: ${message.reason}`);
        break;
    }
  }

  #outputs(): DeviceOutputs {
    return {
      isLocated: (peer) => this.endpoint(peer) !== undefined,
      sendHandshake: (peer, message) => {
        const endpoint = this.endpoint(peer);
        if (!this.isListening || endpoint === undefined) return;
        const result = sendDatagram(this.#underlay.fd, peer.slot, endpoint, message);
        if (result < 0) this.#counts.handshakeDropped(DROP['send-failed']);
        else this.#counts.handshakeSent(peer.slot, message.length);
      },
      reply: (to, message) => {
        if (this.isListening) sendDatagram(this.#underlay.fd, -1, to, message);
      },
      forgetSource: (peer) => {
        const endpoint = this.endpoint(peer);
        if (endpoint?.subarray(ENDPOINT.local).some((word) => word !== 0) !== true) return;
        this.setEndpoint(peer, endpoint.fill(0, ENDPOINT.local));
      },
      endpointChanged: (peer, from) => {
        this.#counts.handshakeReceived(peer.slot, this.#receiving);
        this.setEndpoint(peer, from);
      },
      keypairReady: (peer, keypair) => this.#keys.ready(peer.slot, keypair),
      keypairInUse: (peer, keypair) => {
        this.#keys.use(peer.slot, keypair);
        this.#log.debug(`session with peer ${peer.slot}, ${keypair.cipher}`);
      },
      keypairGone: (peer, keypair) => this.#keys.drop(peer.slot, keypair),
      sendKeepalive: (peer) => this.#outbound.order({ type: 'keepalive', slot: peer.slot }),
      refused: (peer, from, reason) => this.refusals.note(from, peer?.slot ?? -1, reason, bootTime()),
      discardStaged: (peer) => this.#outbound.order({ type: 'discardStaged', slot: peer.slot }),
    };
  }
}

function newKeyPair(): KeyPair {
  const { privateKey, publicKey } = generateKeyPairSync('x25519');
  return { privateKey, publicKey: publicBytes(publicKey) };
}
