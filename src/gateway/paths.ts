/**
 * Bundles at work: asks each path whether it is alive, and tells the data plane which paths packets may take. Changing that
 * is an order of some words; no route changes with it.
 */
import { createHash, randomInt } from 'node:crypto';
import { bootTime } from '../nic/native.ts';
import { MAX_BUNDLES, packBundles } from '../dataplane/bundle.ts';
import type { BundleMember } from '../dataplane/bundle.ts';
import { clearProbes, expectAnswer, takeAnswers } from '../dataplane/probes.ts';
import { publicKey } from '../noise/psk.ts';
import { prefixContains } from '../routing/prefix.ts';
import type { Prefix } from '../routing/prefix.ts';
import { BUNDLE } from '../routing/target.ts';
import { DOWN_AFTER_SILENCE, Liveness } from '../session/liveness.ts';
import type { LivenessTiming } from '../session/liveness.ts';
import type { Peer } from '../session/peer.ts';
import { writeProbe } from '../wire/echo.ts';
import type { BundleConfig, GatewayConfig, PeeringConfig } from './config.ts';
import type { PathStatus } from './status.ts';
import type { Log, Tunnel } from './tunnel.ts';

/** How often answers are taken and probes sent, in ms. */
const TICK = 100;
/** A path that can't be asked and is down is called anew this often, in ms. */
const CALL_AGAIN = 5_000;
/** Tokens are int32s. */
const TOKENS = 2 ** 31;

interface Path {
  readonly name: string;
  readonly peer: Peer;
  readonly bundle: BundleConfig;
  readonly member: BundleMember;
  readonly liveness: Liveness;
  /** Who asks and who is asked; undefined where no probe can be sent. */
  readonly ends: { readonly from: Prefix; readonly to: Prefix } | undefined;
  readonly token: number;
  calledAt: number;
}

export class Paths {
  readonly #tunnel: Tunnel;
  readonly #log: Log;
  /** By the peering's name, in the order of the file. */
  #paths = new Map<string, Path>();
  /** A bundle keeps its number while it is there, as the flows that are on it are known by that. */
  readonly #numbers = new Map<string, number>();
  #nextNumber = 0;
  #inUse = new Set<Path>();
  #ticker: NodeJS.Timeout | undefined;

  constructor(tunnel: Tunnel, log: Log) {
    this.#tunnel = tunnel;
    this.#log = log;
  }

  /** Takes up a configuration. What is known of a path goes on if nothing about it changed. */
  configure(config: GatewayConfig, peers: ReadonlyMap<string, Peer>): void {
    // A peer may ask us, whether or not we ask it.
    this.#tunnel.setProbeAddresses(Int32Array.from(config.addresses.flatMap(({ address }) => address)));
    const before = this.#paths;
    this.#paths = new Map();
    for (const peering of config.peerings) {
      const peer = peers.get(peering.name);
      if (peering.bundle < 0 || peer === undefined) continue;
      const path = this.#path(peering, config, peer);
      const old = before.get(peering.name);
      this.#paths.set(peering.name, old !== undefined && isSame(old, path) ? old : this.#begin(path));
    }
    const names = new Set(config.bundles.map(({ name }) => name));
    for (const name of this.#numbers.keys()) if (!names.has(name)) this.#numbers.delete(name);
    for (const name of names) {
      if (this.#numbers.has(name)) continue;
      this.#numbers.set(name, this.#nextNumber);
      this.#nextNumber = (this.#nextNumber + 1) % MAX_BUNDLES;
    }
    this.#use();
    clearInterval(this.#ticker);
    if (this.#paths.size > 0) this.#ticker = setInterval(() => this.#tick(), TICK);
  }

  /** Where routes to a bundle lead, by its name. */
  get targets(): ReadonlyMap<string, number> {
    return new Map(Array.from(this.#numbers, ([name, number]) => [name, BUNDLE | number]));
  }

  status(peering: string): PathStatus | null {
    const path = this.#paths.get(peering);
    if (path === undefined) return null;
    const { liveness, bundle, ends } = path;
    const { rtt } = liveness;
    return {
      bundle: bundle.name,
      state: liveness.state,
      in_use: this.#inUse.has(path),
      rtt_ms: rtt === undefined ? null : round(rtt, 3),
      jitter_ms: rtt === undefined ? null : round(liveness.jitter, 3),
      loss: ends === undefined ? null : round(liveness.loss, 2),
    };
  }

  close(): void {
    clearInterval(this.#ticker);
  }

  #path(peering: PeeringConfig, config: GatewayConfig, peer: Peer): Path {
    const bundle = config.bundles[peering.bundle];
    const ends = bundle.probeMs === 0 ? undefined : probeEnds(config.addresses, peering.addresses);
    const timing: LivenessTiming = {
      probe: ends === undefined ? 0 : bundle.probeMs,
      downAfter: ends === undefined ? DOWN_AFTER_SILENCE : bundle.downAfterMs,
      upAfter: bundle.upAfterMs,
    };
    const member = { slot: peer.slot, seed: seedOf(peering) };
    const token = randomInt(TOKENS);
    return { name: peering.name, peer, bundle, member, liveness: new Liveness(timing), ends, token, calledAt: 0 };
  }

  #begin(path: Path): Path {
    if (path.ends === undefined && path.bundle.probeMs > 0) {
      this.#log.warn(`peering ${path.name}: no overlay address to probe; a dead path is noticed by its silence only`);
    }
    clearProbes(this.#tunnel.probes!, path.peer.slot, path.token);
    return path;
  }

  #tick(): void {
    const now = bootTime();
    let changed = false;
    for (const path of this.#paths.values()) {
      const { liveness, peer } = path;
      const before = liveness.state;
      if (path.ends === undefined) this.#watch(path, now);
      else this.#probe(path, now);
      if (!liveness.advance(now)) continue;
      changed = true;
      this.#log.info(`bundle ${path.bundle.name}: path ${path.name} is ${liveness.state}, was ${before}`);
      if (liveness.state === 'down') this.#tunnel.connect(peer);
    }
    if (changed) this.#use();
  }

  #probe({ liveness, peer, ends, token }: Path, now: number): void {
    const { probes } = this.#tunnel;
    if (probes === undefined || ends === undefined) return;
    takeAnswers(probes, peer.slot, (sequence, rtt, at) => liveness.answered(sequence, rtt, at));
    liveness.heed(now, peer.activity.dataSentAt, peer.activity.receivedAt);
    const sequence = liveness.due(now);
    if (sequence < 0) return;
    const { from, to } = ends;
    expectAnswer(probes, peer.slot, sequence);
    this.#tunnel.probe(peer, writeProbe(from.family, from.address, to.address, sequence, token), sequence);
  }

  #watch(path: Path, now: number): void {
    const { liveness, peer } = path;
    const { dataSentAt, receivedAt } = peer.activity;
    liveness.watch(now, dataSentAt, receivedAt);
    if (liveness.state === 'up' || now - path.calledAt < CALL_AGAIN) return;
    path.calledAt = now;
    this.#tunnel.connect(peer);
  }

  /** Says which paths packets may take. */
  #use(): void {
    const paths = [...this.#paths.values()];
    this.#inUse = new Set();
    const bundles = Array.from(this.#numbers, ([name, number]) => {
      const all = paths.filter(({ bundle }) => bundle.name === name);
      const inUse = usable(all);
      for (const path of inUse) this.#inUse.add(path);
      return { number, members: all.map(({ member }) => member), inUse: inUse.map(({ member }) => member) };
    });
    this.#tunnel.setBundles(packBundles(bundles));
  }
}

/** The paths of a bundle that packets may take. With none that is up all are tried, as one may be better than it seems. */
function usable(all: readonly Path[]): Path[] {
  const up = all.filter(({ liveness }) => liveness.state === 'up');
  const candidates = up.length > 0 ? up : [...all];
  return all[0]?.bundle.mode === 'active-standby' ? candidates.slice(0, 1) : candidates;
}

function isSame(old: Path, next: Path): boolean {
  const key = ({ peer, bundle, member, ends }: Path) => JSON.stringify([peer.slot, bundle, member, ends]);
  return old.peer === next.peer && key(old) === key(next);
}

/** The first of the peer's addresses that we have one of the same family for, best of the same network. */
function probeEnds(own: readonly Prefix[], peers: readonly Prefix[]): Path['ends'] {
  for (const to of peers) {
    const from = own.find((network) => prefixContains(network, to)) ?? own.find(({ family }) => family === to.family);
    if (from !== undefined) return { from, to };
  }
  return undefined;
}

/** The same at both ends of a peering, and of no other: both gateways divide flows by it, and must agree. */
function seedOf({ keys }: PeeringConfig): number {
  const hash = createHash('sha256').update('isthmus path');
  if (keys.kind === 'psk') hash.update(keys.psk);
  else
    for (const key of [publicKey(keys.privateKey), keys.publicKey].sort((a, b) => Buffer.compare(a, b)))
      hash.update(key);
  return hash.digest().readInt32LE();
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
