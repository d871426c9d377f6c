/** A plain WireGuard device, as the UAPI shows and changes it: one private key, peers by public key, allowed IPs. */
import { constants } from 'node:os';
import { MAX_PEERS } from '../dataplane/counters.ts';
import { publicKey } from '../noise/psk.ts';
import { buildPrefixTable } from '../routing/prefix-table.ts';
import type { Prefix } from '../routing/prefix.ts';
import { canonical } from '../routing/prefix.ts';
import { singleTable } from '../routing/routing.ts';
import type { Credential } from '../session/identities.ts';
import type { Peer } from '../session/peer.ts';
import type { ConfigurableDevice, DeviceChange, DeviceState, PeerChange } from './device-state.ts';
import type { Tunnel } from './tunnel.ts';

interface DevicePeer {
  readonly publicKey: Uint8Array;
  presharedKey: Uint8Array;
  /** Seconds. */
  persistentKeepalive: number;
  readonly allowedIps: Map<string, Prefix>;
  readonly peer: Peer;
}

export class WireGuardDevice implements ConfigurableDevice {
  readonly #tunnel: Tunnel;
  #privateKey: Uint8Array | undefined;
  /** Of our own public key, in hex; empty without a private key. */
  #ownKey = '';
  /** By public key, in hex. */
  readonly #peers = new Map<string, DevicePeer>();
  /** Which peer holds an allowed IP. */
  readonly #owners = new Map<string, DevicePeer>();

  constructor(tunnel: Tunnel) {
    this.#tunnel = tunnel;
  }

  state(): DeviceState {
    return {
      privateKey: this.#privateKey,
      listenPort: this.#tunnel.port,
      fwmark: this.#tunnel.mark,
      peers: [...this.#peers.values()].map((entry) => {
        const { rxBytes, txBytes } = this.#tunnel.traffic(entry.peer);
        return {
          publicKey: entry.publicKey,
          presharedKey: entry.presharedKey,
          endpoint: this.#tunnel.endpoint(entry.peer),
          lastHandshakeAt: entry.peer.lastHandshakeAt,
          rxBytes,
          txBytes,
          persistentKeepalive: entry.persistentKeepalive,
          allowedIps: [...entry.allowedIps.values()],
        };
      }),
    };
  }

  configure(change: DeviceChange): void {
    const { listenPort, fwmark } = change;
    if (this.#peers.size + change.peers.length > MAX_PEERS && change.replacePeers !== true) this.#checkRoom(change);
    // The one thing that can fail comes first.
    if (listenPort !== undefined || fwmark !== undefined) {
      this.#tunnel.listen({ port: listenPort ?? this.#tunnel.port, mark: fwmark ?? this.#tunnel.mark });
    }
    if (change.privateKey !== undefined) this.#setPrivateKey(change.privateKey ?? undefined);
    if (change.replacePeers === true) this.#removeAll();
    const added: DevicePeer[] = [];
    for (const step of change.peers) {
      const entry = this.#changePeer(step);
      if (entry !== undefined) added.push(entry);
    }
    const routed = change.peers.length > 0 || change.privateKey !== undefined || change.replacePeers === true;
    if (routed) {
      const entries = Array.from(this.#peers.values(), ({ allowedIps, peer }) =>
        Array.from(allowedIps.values(), (prefix) => ({ ...prefix, value: peer.slot })),
      ).flat();
      this.#tunnel.setRouting(singleTable(buildPrefixTable(entries), MAX_PEERS));
    }
    for (const entry of added) if (entry.persistentKeepalive > 0) this.#tunnel.connect(entry.peer);
  }

  /** Throws if the peers that the change adds are too many. */
  #checkRoom(change: DeviceChange): void {
    const keys = new Set(this.#peers.keys());
    for (const { publicKey: key, remove } of change.peers) if (remove !== true) keys.add(hex(key));
    if (keys.size <= MAX_PEERS) return;
    throw Object.assign(new RangeError(`a device holds at most ${MAX_PEERS} peers`), { errno: constants.errno.EINVAL });
  }

  #setPrivateKey(privateKey: Uint8Array | undefined): void {
    this.#privateKey = privateKey;
    this.#ownKey = privateKey === undefined ? '' : hex(publicKey(privateKey));
    const own = this.#peers.get(this.#ownKey);
    if (own !== undefined) this.#remove(own);
    for (const entry of this.#peers.values()) entry.peer.setCredentials(this.#credentials(entry));
  }

  /** Returns the peer if it is new. */
  #changePeer(step: PeerChange): DevicePeer | undefined {
    const key = hex(step.publicKey);
    let entry = this.#peers.get(key);
    if (step.remove === true) {
      if (entry !== undefined) this.#remove(entry);
      return undefined;
    }
    if (key === this.#ownKey) return undefined;
    const isNew = entry === undefined;
    if (entry === undefined) {
      if (step.updateOnly === true) return undefined;
      entry = this.#add(step.publicKey);
      this.#peers.set(key, entry);
    }
    if (step.presharedKey !== undefined) {
      entry.presharedKey = step.presharedKey;
      entry.peer.setCredentials(this.#credentials(entry));
    }
    if (step.endpoint !== undefined) this.#tunnel.setEndpoint(entry.peer, step.endpoint);
    if (step.persistentKeepalive !== undefined) {
      entry.persistentKeepalive = step.persistentKeepalive;
      entry.peer.persistentKeepalive = step.persistentKeepalive * 1000;
    }
    if (step.replaceAllowedIps === true) this.#takeAllowedIps(entry);
    for (const prefix of step.removeAllowedIps) {
      const text = prefixKey(canonical(prefix));
      if (entry.allowedIps.delete(text)) this.#owners.delete(text);
    }
    for (const given of step.addAllowedIps) {
      const prefix = canonical(given);
      const text = prefixKey(prefix);
      this.#owners.get(text)?.allowedIps.delete(text);
      this.#owners.set(text, entry);
      entry.allowedIps.set(text, prefix);
    }
    return isNew ? entry : undefined;
  }

  #add(key: Uint8Array): DevicePeer {
    const presharedKey = new Uint8Array(32);
    const entry = { publicKey: key, presharedKey, persistentKeepalive: 0, allowedIps: new Map<string, Prefix>() };
    const credentials = this.#credentials(entry);
    return { ...entry, peer: this.#tunnel.addPeer({ credentials, persistentKeepalive: 0, acl: -1 }) };
  }

  #credentials(entry: Pick<DevicePeer, 'publicKey' | 'presharedKey'>): Credential[] {
    if (this.#privateKey === undefined) return [];
    const { publicKey: remotePublic, presharedKey } = entry;
    return [{ cipher: 'chacha20-poly1305', localPrivate: this.#privateKey, remotePublic, presharedKey }];
  }

  #remove(entry: DevicePeer): void {
    this.#takeAllowedIps(entry);
    this.#tunnel.removePeer(entry.peer);
    this.#peers.delete(hex(entry.publicKey));
  }

  #removeAll(): void {
    this.#owners.clear();
    for (const { peer } of this.#peers.values()) this.#tunnel.removePeer(peer);
    this.#peers.clear();
  }

  #takeAllowedIps({ allowedIps }: DevicePeer): void {
    for (const text of allowedIps.keys()) this.#owners.delete(text);
    allowedIps.clear();
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

function prefixKey({ family, address, bits }: Prefix): string {
  return `${family}:${address.join(',')}/${bits}`;
}
