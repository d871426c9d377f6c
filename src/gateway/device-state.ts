import type { Endpoint } from '../wire/endpoint.ts';
import type { Prefix } from '../routing/prefix.ts';
import { credentialOf } from './credentials.ts';
import type { Located } from './locating.ts';
import type { Tunnel } from './tunnel.ts';

/** What a running device shows of one peer. */
export interface PeerState {
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  /** 32 bytes, all zero when there is none. */
  readonly presharedKey: Uint8Array;
  readonly endpoint?: Endpoint | undefined;
  /** Milliseconds of the wall clock, 0 for never. */
  readonly lastHandshakeAt: number;
  readonly rxBytes: number;
  readonly txBytes: number;
  /** Seconds, 0 for off. */
  readonly persistentKeepalive: number;
  readonly allowedIps: readonly Prefix[];
}

/** A peering as WireGuard's tools see it, by the identity that it last used. */
export function peerState({ config, peer }: Located, tunnel: Tunnel): PeerState {
  const { remotePublic, presharedKey } = credentialOf(peer);
  const { rxBytes, txBytes } = tunnel.traffic(peer);
  return {
    publicKey: remotePublic,
    presharedKey,
    endpoint: tunnel.endpoint(peer),
    lastHandshakeAt: peer.lastHandshakeAt,
    rxBytes,
    txBytes,
    persistentKeepalive: config.keepaliveMs / 1000,
    allowedIps: [...config.subnets, ...config.addresses],
  };
}

/** What a running device shows of itself. */
export interface DeviceState {
  /** 32 bytes, clamped; absent when the device has none. */
  readonly privateKey?: Uint8Array | undefined;
  /** The port the sockets are bound to, 0 while there are none. */
  readonly listenPort: number;
  /** 0 for none. */
  readonly fwmark: number;
  readonly peers: readonly PeerState[];
}

/**
 * One step for one peer. The fields apply in the order in which they stand here, and a request may hold several steps
 * for the same peer.
 */
export interface PeerChange {
  /** 32 bytes. A step for the device's own public key is passed over. */
  publicKey: Uint8Array;
  /** The peer goes away, if it exists; no other field counts. */
  remove?: boolean;
  /** A peer that does not exist is not created: the step is passed over. */
  updateOnly?: boolean;
  /** 32 bytes; all zero takes it away. */
  presharedKey?: Uint8Array;
  endpoint?: Endpoint;
  /** Seconds, 0 turns it off; turned on, a keepalive is sent at once. */
  persistentKeepalive?: number;
  /** The peer's allowed IPs so far are taken away. */
  replaceAllowedIps?: boolean;
  /** Taken away where this peer holds exactly this prefix. */
  removeAllowedIps: Prefix[];
  /** Given to this peer, and taken from any other that holds exactly this prefix. Host bits may be set; they count for nothing. */
  addAllowedIps: Prefix[];
}

/** A change of a device. Its fields apply in the order in which they stand here; what is absent stays as it is. */
export interface DeviceChange {
  /** 32 bytes, clamped; null takes it away. A peer whose public key becomes the device's own is removed. */
  privateKey?: Uint8Array | null;
  /** 0 lets the kernel choose. */
  listenPort?: number;
  fwmark?: number;
  /** All peers so far are removed. */
  replacePeers?: boolean;
  peers: PeerChange[];
}

/** A device that can be shown and changed while it runs. */
export interface ConfigurableDevice {
  state(): DeviceState;
  /**
   * Applies a change. One that cannot be made (the port is in use) changes nothing and throws an `Error` with `errno`, the
   * system's error number, of either sign.
   */
  configure(change: DeviceChange): Promise<void> | void;
}
