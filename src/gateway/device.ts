/** A plain WireGuard device, as the UAPI shows and changes it: one private key, peers by public key, allowed IPs. */
import { publicKey } from '../noise/psk.ts';
import type { Prefix } from '../routing/prefix.ts';
import { canonical } from '../routing/prefix.ts';
import type { Credential } from '../session/identities.ts';
import type { Peer } from '../session/peer.ts';
import type { ConfigurableDevice, DeviceChange, DeviceState, PeerChange } from './device-state.ts';
import type { Tunnel } from './tunnel.ts';

interface DevicePeer {
  readonly publicKey: Uint8Array;
  presharedKey: Uint8Array;
  /** Seconds. */
  persistentKeepalive: number;
  readonly peer: Peer;
}

interface AllowedIp {
  readonly prefix: Prefix;
  readonly owner: DevicePeer;
}

export class WireGuardDevice implements ConfigurableDevice {
  readonly #tunnel: Tunnel;
  #privateKey: Uint8Array | undefined;
  readonly #peers = new Map<string, DevicePeer>();
  readonly #allowedIps = new Map<string, AllowedIp>();

  constructor(tunnel: Tunnel) {
    this.#tunnel = tunnel;
  }

  state(): DeviceState {
    const allowedIps = new Map<DevicePeer, Prefix[]>();
    for (const { prefix, owner } of this.#allowedIps.values()) {
      const list = allowedIps.get(owner);
      if (list === undefined) allowedIps.set(owner, [prefix]);
      else list.push(prefix);
    }
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
          allowedIps: allowedIps.get(entry) ?? [],
        };
      }),
    };
  }

  configure(change: DeviceChange): void {
    const { listenPort, fwmark } = change;
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
      this.#tunnel.setRoutes(
        Array.from(this.#allowedIps.values(), ({ prefix, owner }) => ({ ...prefix, value: owner.peer.slot })),
      );
    }
    for (const entry of added) if (entry.persistentKeepalive > 0) this.#tunnel.connect(entry.peer);
  }

  #setPrivateKey(privateKey: Uint8Array | undefined): void {
    this.#privateKey = privateKey;
    const own = privateKey === undefined ? undefined : this.#peers.get(hex(publicKey(privateKey)));
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
    if (this.#privateKey !== undefined && key === hex(publicKey(this.#privateKey))) return undefined;
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
      if (this.#allowedIps.get(text)?.owner === entry) this.#allowedIps.delete(text);
    }
    for (const given of step.addAllowedIps) {
      const prefix = canonical(given);
      this.#allowedIps.set(prefixKey(prefix), { prefix, owner: entry });
    }
    return isNew ? entry : undefined;
  }

  #add(key: Uint8Array): DevicePeer {
    const entry = { publicKey: key, presharedKey: new Uint8Array(32), persistentKeepalive: 0 };
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
    this.#allowedIps.clear();
    for (const { peer } of this.#peers.values()) this.#tunnel.removePeer(peer);
    this.#peers.clear();
  }

  #takeAllowedIps(entry: DevicePeer): void {
    for (const [text, { owner }] of this.#allowedIps) if (owner === entry) this.#allowedIps.delete(text);
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

function prefixKey({ family, address, bits }: Prefix): string {
  return `${family}:${address.join(',')}/${bits}`;
}
