/**
 * Bundles: several peerings that carry the same prefixes. A packet takes one of the bundle's paths that are in use; all of
 * a flow, in both directions and at both gateways, takes the same one (appliance mode). A path that fails moves the flows
 * that were on it, and no others (Thaler and Ravishankar, rendezvous hashing; RFC 2991).
 */
import { scramble } from '../policy/hash.ts';
import { FRAGMENT } from '../wire/packet.ts';
import type { Packet } from '../wire/packet.ts';
import { MAX_PEERS } from './counters.ts';

/** A peering in a bundle. */
export interface BundleMember {
  readonly slot: number;
  /** The same at both gateways, another for each peering: what the flows are divided by. */
  readonly seed: number;
}

/** A bundle as the data plane is told of it. */
export interface BundlePaths {
  /** Below `MAX_BUNDLES`; no other bundle's. */
  readonly number: number;
  readonly members: readonly BundleMember[];
  /** Those that packets may take; one of them takes all in active-standby. Empty: any member, as there is nothing better. */
  readonly inUse: readonly BundleMember[];
}

export const MAX_BUNDLES = MAX_PEERS;
/** In a flow's key stands for the peer; a flow of a bundle is the bundle's, whichever path it takes. */
const BUNDLE_OF_FLOWS = 1 << 20;

/** Words: how many bundles; then of each its number, how many members, their slots, how many paths, slot and seed of each. */
export type BundleData = Int32Array;

export function packBundles(bundles: readonly BundlePaths[]): BundleData {
  const words: number[] = [bundles.length];
  for (const { number, members, inUse } of bundles) {
    // One order for both gateways, so that of two equal weights both take the same.
    const paths = [...(inUse.length > 0 ? inUse : members)].sort((a, b) => a.seed - b.seed);
    words.push(number, members.length, ...members.map(({ slot }) => slot));
    words.push(paths.length, ...paths.flatMap(({ slot, seed }) => [slot, seed]));
  }
  return Int32Array.from(words);
}

/** One thread's view. Nothing here allocates but `use`. */
export class Bundles {
  #data: BundleData = Int32Array.of(0);
  /** Where a bundle's paths begin in the data, by its number; -1: there is no such bundle. */
  readonly #paths: number[] = [];
  /** By slot: the number of the bundle that the peering is in, plus 1; 0: none. */
  readonly #bundleOf = new Int32Array(MAX_PEERS);

  /** Replaces all bundles. */
  use(data: BundleData): void {
    this.#data = data;
    this.#paths.fill(-1);
    this.#bundleOf.fill(0);
    let at = 1;
    for (let bundle = 0; bundle < data[0]; bundle++) {
      const number = data[at];
      const members = data[at + 1];
      for (let member = 0; member < members; member++) this.#bundleOf[data[at + 2 + member]] = number + 1;
      at += 2 + members;
      while (this.#paths.length <= number) this.#paths.push(-1);
      this.#paths[number] = at;
      at += 1 + 2 * data[at];
    }
  }

  /** The slot of the peering that this packet takes in a bundle, or -1 if there is no such bundle. */
  pick(bundle: number, packet: Packet): number {
    const data = this.#data;
    const from = bundle < this.#paths.length ? this.#paths[bundle] : -1;
    if (from < 0) return -1;
    const count = data[from];
    if (count === 1) return data[from + 1];
    const hash = flowHash(packet);
    let best = -1;
    let greatest = 0;
    for (let path = 0; path < count; path++) {
      const weight = scramble(hash ^ data[from + 2 + 2 * path]) >> 1;
      if (best >= 0 && weight <= greatest) continue;
      best = data[from + 1 + 2 * path];
      greatest = weight;
    }
    return best;
  }

  /** Whether the peering is in the bundle. */
  holds(bundle: number, slot: number): boolean {
    return this.#bundleOf[slot] === bundle + 1;
  }

  /** What stands for the peering in the keys of its flows. */
  flowPeer(slot: number): number {
    const bundle = this.#bundleOf[slot];
    return bundle === 0 ? slot : BUNDLE_OF_FLOWS | (bundle - 1);
  }
}

/**
 * The same for both directions of a flow. Of a datagram in fragments only the first has ports: they count for none, so
 * that all of it goes one way.
 */
export function flowHash(packet: Packet): number {
  const hasPorts = packet.fragment === FRAGMENT.whole;
  const source = end(packet.src0, packet.src1, packet.src2, packet.src3, hasPorts ? packet.srcPort : 0);
  const destination = end(packet.dst0, packet.dst1, packet.dst2, packet.dst3, hasPorts ? packet.dstPort : 0);
  const rest = hasPorts ? packet.icmpId ^ (packet.protocol << 16) : 0;
  return scramble((source + destination) ^ rest);
}

function end(w0: number, w1: number, w2: number, w3: number, port: number): number {
  let hash = scramble(w3 ^ Math.imul(port, 0x9e3779b1));
  if ((w0 | w1 | w2) !== 0) hash = scramble(scramble(scramble(hash ^ w2) ^ w1) ^ w0);
  return hash;
}
