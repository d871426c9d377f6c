import type { CipherName } from '../../src/noise/cipher.ts';
import { open, seal } from '../../src/noise/cipher.ts';
import { derivePeering, publicKey } from '../../src/noise/psk.ts';
import { keyPair } from '../../src/noise/x25519.ts';
import { DEFAULT_TIMING, type Timing } from '../../src/session/constants.ts';
import { Device, type DeviceOutputs } from '../../src/session/device.ts';
import type { Credential } from '../../src/session/identities.ts';
import type { Keypair } from '../../src/session/keypairs.ts';
import type { Activity, Peer } from '../../src/session/peer.ts';
import { ReplayWindow } from '../../src/session/replay.ts';
import { Staging } from '../../src/session/staging.ts';
import { DROP_REASONS, type DropReason } from '../../src/wire/drop.ts';
import { ENDPOINT, endpointFrom, type Endpoint } from '../../src/wire/endpoint.ts';
import { TRANSPORT } from '../../src/wire/messages.ts';
import { Underlay, type Host as UnderlayHost } from './underlay.ts';

const NOON = 1_700_000_000_000;
const EMPTY = new Uint8Array(0);

/** Random bytes that are the same with every run (mulberry32). */
export function seeded(seed: number): (length: number) => Uint8Array {
  let state = seed;
  return (length) =>
    Uint8Array.from({ length }, () => {
      state = (state + 0x6d2b79f5) | 0;
      let mixed = Math.imul(state ^ (state >>> 15), state | 1);
      mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
      return (mixed ^ (mixed >>> 14)) & 255;
    });
}

/** An underlay of devices with the smallest data plane that a device can have. */
export class World extends Underlay {
  host(address: string, options: { seed?: number; timing?: Timing } = {}): Host {
    const host = new Host(this, address, options.seed ?? this.hosts.length + 1, options.timing ?? DEFAULT_TIMING);
    this.hosts.push(host);
    return host;
  }
}

/** What a host knows of one peer: the smallest data plane that a device can have. */
export class Link {
  readonly peer: Peer;
  readonly activity: Activity;
  endpoint: Endpoint | null;
  current: Keypair | null = null;
  readonly staging = new Staging();
  /** The packets that arrived from the peer. */
  readonly received: string[] = [];
  discarded = 0;
  #counter = 0;
  readonly #host: Host;

  constructor(host: Host, peer: Peer, activity: Activity, endpoint: Endpoint | null) {
    this.#host = host;
    this.peer = peer;
    this.activity = activity;
    this.endpoint = endpoint;
  }

  /** Sends a packet to the peer, or lets it wait for a session. */
  send(text: string): void {
    const { now } = this.#host.world;
    const packet = new TextEncoder().encode(text);
    if (this.current !== null && now - this.current.createdAt < DEFAULT_TIMING.rejectAfterTime) {
      this.transmit(packet);
    } else {
      this.staging.push(packet, new Int32Array(16));
      this.peer.wantSession(now);
    }
  }

  transmit(packet: Uint8Array): void {
    const { current, activity } = this;
    const { now } = this.#host.world;
    if (current === null) return;
    const message = new Uint8Array(TRANSPORT.payload);
    const view = new DataView(message.buffer);
    message[0] = 4;
    view.setUint32(TRANSPORT.receiver, current.remoteIndex, true);
    view.setBigUint64(TRANSPORT.counter, BigInt(this.#counter), true);
    const sealed = seal(current.cipher, current.sendKey, nonceOf(current, this.#counter++), packet, EMPTY);
    activity.sentAt = now;
    if (packet.length > 0) activity.dataSentAt = now;
    if (this.endpoint !== null) {
      this.#host.world.carry(this.#host.endpoint, this.endpoint, Uint8Array.of(...message, ...sealed));
    }
  }

  use(keypair: Keypair): void {
    this.current = keypair;
    this.#counter = 0;
  }
}

export class Host implements DeviceOutputs, UnderlayHost {
  readonly world: World;
  endpoint: Endpoint;
  readonly device: Device;
  readonly links = new Map<Peer, Link>();
  readonly keypairs = new Map<number, { keypair: Keypair; link: Link; window: ReplayWindow }>();
  /** Why datagrams were dropped, one entry each. */
  readonly drops: DropReason[] = [];
  /** Whose handshake messages were dropped. */
  readonly blamed: (Peer | null)[] = [];
  readonly gone: Keypair[] = [];
  /** How many handshake messages seem to wait behind each. */
  queued = 0;
  /** What the wall clock is off by, ms. */
  clockOffset = 0;

  constructor(world: World, address: string, seed: number, timing: Timing) {
    this.world = world;
    this.endpoint = endpointFrom(address, 51820);
    const wallClock = () => NOON + world.now + this.clockOffset;
    const random = seeded(seed);
    this.device = new Device(this, { random, ephemeral: () => keyPair(random(32)), wallClock }, timing);
  }

  /** A started peer. */
  connect(credentials: Credential[], to: Host | null, persistentKeepalive = 0, provenCipher?: CipherName): Link {
    const activity = { dataSentAt: 0, sentAt: 0, dataReceivedAt: 0, receivedAt: 0 };
    const peer = this.device.addPeer({
      slot: this.links.size,
      credentials,
      activity,
      persistentKeepalive,
      provenCipher,
    });
    const link = new Link(this, peer, activity, to === null ? null : to.endpoint);
    this.links.set(peer, link);
    peer.start(this.world.now);
    return link;
  }

  arrive(bytes: Uint8Array, from: Endpoint): void {
    const drop =
      bytes[0] === 4
        ? this.#transport(bytes, from)
        : DROP_REASONS[this.device.receive(bytes, from, this.world.now, this.queued)];
    if (drop !== 'none') this.drops.push(drop);
  }

  /** All is dealt with as it arrives. */
  work(): void {}

  tick(): void {
    this.device.tick(this.world.now);
  }

  #transport(bytes: Uint8Array, from: Endpoint): DropReason {
    const { now } = this.world;
    if (bytes.length < TRANSPORT.payload + 16) return 'malformed-datagram';
    const view = new DataView(bytes.buffer);
    const held = this.keypairs.get(view.getUint32(TRANSPORT.receiver, true));
    if (held === undefined) return 'unknown-index';
    const { keypair, link, window } = held;
    const [lo, hi] = [view.getInt32(TRANSPORT.counter, true), view.getInt32(TRANSPORT.counter + 4, true)];
    const sealed = bytes.subarray(TRANSPORT.payload);
    const packet = open(keypair.cipher, keypair.receiveKey, nonceOf(keypair, lo), sealed, EMPTY);
    if (packet === null) return 'bad-tag';
    if (!window.accept(lo, hi)) return 'replayed';
    link.endpoint = from;
    link.activity.receivedAt = now;
    if (packet.length > 0) {
      link.activity.dataReceivedAt = now;
      link.received.push(new TextDecoder().decode(packet));
    }
    link.peer.confirm(keypair.localIndex, now);
    return 'none';
  }

  isLocated(peer: Peer): boolean {
    return this.links.get(peer)?.endpoint != null;
  }

  sendHandshake(peer: Peer, message: Uint8Array): void {
    const to = this.links.get(peer)?.endpoint;
    if (to) this.world.carry(this.endpoint, to, message);
  }

  reply(to: Endpoint, message: Uint8Array): void {
    this.world.carry(this.endpoint, to, message);
  }

  endpointChanged(peer: Peer, from: Endpoint): void {
    this.links.get(peer)!.endpoint = from;
  }

  keypairReady(peer: Peer, keypair: Keypair): void {
    const link = this.links.get(peer)!;
    this.keypairs.set(keypair.localIndex, { keypair, link, window: new ReplayWindow() });
  }

  keypairInUse(peer: Peer, keypair: Keypair): void {
    const link = this.links.get(peer)!;
    link.use(keypair);
    link.staging.drain((packet) => link.transmit(packet));
  }

  keypairGone(peer: Peer, keypair: Keypair): void {
    const link = this.links.get(peer)!;
    this.keypairs.delete(keypair.localIndex);
    if (link.current === keypair) link.current = null;
    this.gone.push(keypair);
  }

  refused(peer: Peer | null): void {
    this.blamed.push(peer);
  }

  sendKeepalive(peer: Peer): void {
    const link = this.links.get(peer)!;
    if (link.activity.sentAt !== this.world.now) link.transmit(EMPTY);
  }

  forgetSource(peer: Peer): void {
    this.links.get(peer)?.endpoint?.fill(0, ENDPOINT.local);
  }

  discardStaged(peer: Peer): void {
    this.links.get(peer)!.discarded += this.links.get(peer)!.staging.clear();
  }
}

function nonceOf({ cipher }: Keypair, counter: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(12));
  view.setBigUint64(4, BigInt(counter), cipher === 'chacha20-poly1305');
  return new Uint8Array(view.buffer);
}

/** Both ends' credentials of one PSK, in the order of `ciphers`. */
export function peering(
  psk: number,
  ciphers: Credential['cipher'][] = ['chacha20-poly1305'],
): { server: Credential[]; client: Credential[] } {
  const [server, client]: [Credential[], Credential[]] = [[], []];
  for (const cipher of ciphers) {
    const keys = derivePeering(new Uint8Array(32).fill(psk), cipher);
    const { presharedKey } = keys;
    server.push({ cipher, localPrivate: keys.server, remotePublic: publicKey(keys.client), presharedKey });
    client.push({ cipher, localPrivate: keys.client, remotePublic: publicKey(keys.server), presharedKey });
  }
  return { server, client };
}

/** Two hosts and one peering: `a` is the client, `b` the server. */
export function two(options: { ciphers?: Credential['cipher'][]; timing?: Timing; seed?: number } = {}) {
  const world = new World();
  const seed = options.seed ?? 1;
  const hostOptions = (number: number) => ({ seed: seed + number, ...(options.timing && { timing: options.timing }) });
  const a = world.host('192.0.2.1', hostOptions(0));
  const b = world.host('192.0.2.2', hostOptions(1));
  const keys = peering(7, options.ciphers);
  const ab = a.connect(keys.client, b);
  const ba = b.connect(keys.server, a);
  return { world, a, b, ab, ba, keys };
}

/** Gives the hosts of `two` a session that `a` initiated. */
export function established(options: Parameters<typeof two>[0] = {}) {
  const pair = two(options);
  pair.ab.peer.wantSession(pair.world.now);
  pair.world.run(50);
  return pair;
}
