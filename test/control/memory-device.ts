import type { ConfigurableDevice, DeviceChange, DeviceState, PeerState } from '../../src/gateway/device-state.ts';
import type { Log } from '../../src/gateway/tunnel.ts';
import { publicKey } from '../../src/noise/psk.ts';
import { canonical, type Prefix } from '../../src/routing/prefix.ts';

function ignore(): void {
  // Tests look at answers and at errors.
}

export const SILENT: Log = { debug: ignore, info: ignore, warn: ignore, error: ignore };

type Draft<T> = { -readonly [Key in keyof T]: T[Key] };

/** A device that keeps what it is told, by the plainest reading of `device-state.ts`. */
export class MemoryDevice implements ConfigurableDevice {
  #state: Draft<DeviceState> = { listenPort: 0, fwmark: 0, peers: [] };
  readonly #peers = new Map<string, Draft<PeerState>>();
  /** Who owns a prefix, and how it is written; the last to be given comes last. */
  readonly #owners = new Map<string, { owner: string; prefix: Prefix }>();
  /** A port that some other program has taken. */
  readonly takenPort = 53;
  readonly changes: DeviceChange[] = [];

  state(): DeviceState {
    const allowed = new Map<string, Prefix[]>([...this.#peers.keys()].map((id) => [id, []]));
    for (const { owner, prefix } of this.#owners.values()) allowed.get(owner)!.push(prefix);
    const peers = [...this.#peers].map(([id, peer]) => ({ ...peer, allowedIps: allowed.get(id)! }));
    return { ...this.#state, peers };
  }

  /** What the peer has gone through, as a data plane would count it. */
  note(publicKey: string, counts: Partial<Pick<PeerState, 'lastHandshakeAt' | 'rxBytes' | 'txBytes'>>): void {
    Object.assign(this.#peers.get(publicKey)!, counts);
  }

  configure(change: DeviceChange): Promise<void> | void {
    this.changes.push(change);
    if (change.listenPort === this.takenPort) throw Object.assign(new Error('the port is in use'), { errno: 98 });
    if (change.privateKey !== undefined) this.#state.privateKey = change.privateKey ?? undefined;
    const own = this.#state.privateKey && hex(publicKey(this.#state.privateKey));
    if (own) this.#remove(own);
    this.#state.listenPort = change.listenPort ?? this.#state.listenPort;
    this.#state.fwmark = change.fwmark ?? this.#state.fwmark;
    if (change.replacePeers) for (const id of this.#peers.keys()) this.#remove(id);
    for (const step of change.peers) {
      const id = hex(step.publicKey);
      if (step.remove) this.#remove(id);
      if (step.remove || id === own || (step.updateOnly && !this.#peers.has(id))) continue;
      const peer = this.#peers.get(id) ?? newPeer(step.publicKey);
      this.#peers.set(id, peer);
      peer.presharedKey = step.presharedKey ?? peer.presharedKey;
      peer.endpoint = step.endpoint ?? peer.endpoint;
      peer.persistentKeepalive = step.persistentKeepalive ?? peer.persistentKeepalive;
      if (step.replaceAllowedIps) this.#disown(id);
      for (const prefix of step.removeAllowedIps) {
        if (this.#owners.get(identity(prefix))?.owner === id) this.#owners.delete(identity(prefix));
      }
      for (const prefix of step.addAllowedIps) {
        this.#owners.delete(identity(prefix));
        this.#owners.set(identity(prefix), { owner: id, prefix: canonical(prefix) });
      }
    }
  }

  #remove(id: string): void {
    this.#peers.delete(id);
    this.#disown(id);
  }

  #disown(id: string): void {
    for (const [key, { owner }] of this.#owners) if (owner === id) this.#owners.delete(key);
  }
}

function newPeer(publicKey: Uint8Array): Draft<PeerState> {
  return {
    publicKey,
    presharedKey: new Uint8Array(32),
    lastHandshakeAt: 0,
    rxBytes: 0,
    txBytes: 0,
    persistentKeepalive: 0,
    allowedIps: [],
  };
}

function hex(key: Uint8Array): string {
  return Buffer.from(key).toString('hex');
}

function identity(prefix: Prefix): string {
  return `${prefix.family} ${canonical(prefix).address.join()} ${prefix.bits}`;
}
