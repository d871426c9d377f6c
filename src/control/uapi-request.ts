import { networkInterfaces } from 'node:os';
import type { DeviceChange, PeerChange } from '../gateway/device-state.ts';
import { endpointFrom, parsePrefix } from '../gateway/text.ts';
import type { Endpoint } from '../wire/endpoint.ts';
import type { Prefix } from '../routing/prefix.ts';

/** Linux's error numbers as the protocol carries them: negative, as wireguard-go has them. */
export const UAPI_ERRNO = { io: -5, invalid: -22, protocol: -71, unknown: -55 } as const;

/** A request that cannot be served. The text never quotes the request, which may hold keys. */
export class UapiError extends Error {
  override name = 'UapiError';
  /** What the answer's `errno=` says; one of `UAPI_ERRNO`. */
  readonly errno: number;

  constructor(errno: number, message: string) {
    super(message);
    this.errno = errno;
  }
}

const KEY = /^[0-9a-f]{64}$/i;
const DIGITS = /^\d+$/;
const CIDR = /^[0-9a-f.:]+\/(?:0|[1-9]\d{0,2})$/i;
const HOST_PORT = /^(?:([\d.]+)|\[([0-9a-f.]*:[0-9a-f:.]*)(?:%([^\]]+))?\]):(\d+)$/i;

/**
 * A `set=1` request of the cross-platform userspace API (https://www.wireguard.com/xplatform/), read line by line into a
 * device's change. It accepts and refuses what wireguard-go does. Nothing is applied before the request is complete, so
 * one with a bad line changes nothing.
 */
export class SetRequest {
  /** What the lines so far ask for. */
  readonly change: DeviceChange = { peers: [] };
  /** The first step of the peer being read, and the one that lines now add to. */
  #first: PeerChange | undefined;
  #step: PeerChange | undefined;
  #lines = 0;

  /** Reads one line, `key=value` without its line feed. Throws a `UapiError`. */
  line(text: string): void {
    this.#lines++;
    const equals = text.indexOf('=');
    if (equals < 0) throw this.#error(UAPI_ERRNO.protocol, 'not key=value');
    const key = text.slice(0, equals);
    const value = text.slice(equals + 1);
    if (key === 'public_key') this.#beginPeer(this.#key(key, value));
    else if (this.#step === undefined) this.#deviceLine(key, value);
    else this.#peerLine(this.#step, key, value);
  }

  #deviceLine(key: string, value: string): void {
    switch (key) {
      case 'private_key':
        this.change.privateKey = clamped(this.#key(key, value));
        break;
      case 'listen_port':
        this.change.listenPort = this.#integer(key, value, 0xffff);
        break;
      case 'fwmark':
        this.change.fwmark = this.#integer(key, value, 0xffffffff);
        break;
      case 'replace_peers':
        this.change.replacePeers = this.#true(key, value);
        break;
      default:
        throw this.#error(UAPI_ERRNO.invalid, 'unknown device key');
    }
  }

  #peerLine(step: PeerChange, key: string, value: string): void {
    switch (key) {
      case 'update_only':
        this.#first!.updateOnly = this.#true(key, value);
        break;
      case 'remove':
        // What follows is read, and lost: it falls to a step that removes, or to one for a peer that is no more.
        this.#beforeAdditions(step).remove = this.#true(key, value);
        break;
      case 'preshared_key':
        step.presharedKey = this.#key(key, value);
        break;
      case 'endpoint':
        step.endpoint = this.#endpoint(value);
        break;
      case 'persistent_keepalive_interval':
        step.persistentKeepalive = this.#integer(key, value, 0xffff);
        break;
      case 'replace_allowed_ips': {
        const replacing = this.#beforeAdditions(step);
        replacing.replaceAllowedIps = this.#true(key, value);
        replacing.removeAllowedIps = [];
        break;
      }
      case 'allowed_ip':
        if (value.startsWith('-')) this.#beforeAdditions(step).removeAllowedIps.push(this.#prefix(value.slice(1)));
        else step.addAllowedIps.push(this.#prefix(value));
        break;
      case 'protocol_version':
        if (value !== '1') throw this.#error(UAPI_ERRNO.invalid, 'protocol_version is not 1');
        break;
      default:
        throw this.#error(UAPI_ERRNO.invalid, 'unknown peer key');
    }
  }

  #beginPeer(publicKey: Uint8Array): void {
    this.#first = this.#step = emptyStep(publicKey);
    this.change.peers.push(this.#step);
  }

  /**
   * The step to which a line belongs that a step applies before its additions: the present one while it has none, else
   * another for the same peer, which by then exists or has been passed over.
   */
  #beforeAdditions(step: PeerChange): PeerChange {
    if (step.addAllowedIps.length === 0) return step;
    this.#step = { ...emptyStep(step.publicKey), updateOnly: true };
    this.change.peers.push(this.#step);
    return this.#step;
  }

  #key(key: string, value: string): Uint8Array {
    if (!KEY.test(value)) throw this.#error(UAPI_ERRNO.invalid, `${key} is not 64 hexadecimal digits`);
    return Uint8Array.from(Buffer.from(value, 'hex'));
  }

  #integer(key: string, value: string, most: number): number {
    const number = DIGITS.test(value) ? Number(value) : NaN;
    if (!(number <= most)) throw this.#error(UAPI_ERRNO.invalid, `${key} is not a number from 0 to ${most}`);
    return number;
  }

  #true(key: string, value: string): true {
    if (value !== 'true') throw this.#error(UAPI_ERRNO.invalid, `${key} can only be true`);
    return true;
  }

  #prefix(value: string): Prefix {
    try {
      if (CIDR.test(value)) return parsePrefix(value);
    } catch {
      // Refused below: what is wrong with it is plain to see in the request.
    }
    throw this.#error(UAPI_ERRNO.invalid, 'allowed_ip is not address/bits');
  }

  #endpoint(value: string): Endpoint {
    const [, ipv4, ipv6, zone, port] = (HOST_PORT.exec(value) ?? []) as (string | undefined)[];
    try {
      if (Number(port) <= 0xffff) {
        const address = ipv4 ?? (zone === undefined ? ipv6 : `${ipv6}%${scopeOf(zone)}`);
        return endpointFrom(address!, Number(port));
      }
    } catch {
      // Refused below.
    }
    throw this.#error(UAPI_ERRNO.invalid, 'endpoint is not address:port');
  }

  #error(errno: number, message: string): UapiError {
    return new UapiError(errno, `line ${this.#lines} of the request: ${message}`);
  }
}

function emptyStep(publicKey: Uint8Array): PeerChange {
  return { publicKey, removeAllowedIps: [], addAllowedIps: [] };
}

/** An X25519 private key as it is used (RFC 7748 section 5); null for the zero key, which stands for none. */
function clamped(key: Uint8Array): Uint8Array | null {
  if (key.every((byte) => byte === 0)) return null;
  key[0] &= 248;
  key[31] = (key[31] & 127) | 64;
  return key;
}

/** The scope id of a zone: an interface's index as it stands, or the name of one that has an IPv6 address. */
function scopeOf(zone: string): number {
  if (DIGITS.test(zone)) return Number(zone);
  const scoped = networkInterfaces()[zone]?.find((address) => address.family === 'IPv6' && address.scopeid !== 0);
  if (scoped?.family !== 'IPv6') throw new RangeError(`no such interface: ${zone}`);
  return scoped.scopeid;
}
