/** Whether networks of two sides are in each other's way. Networks are texts that `parsePrefix` reads. */
import { overlaps, parsePrefix, prefixContains } from '../routing/prefix.ts';

/** A pair of networks that share addresses. */
export interface Overlap {
  readonly ours: string;
  readonly theirs: string;
}

/** The first pair that shares an address, of either family, or undefined. */
export function findOverlap(ours: readonly string[], theirs: readonly string[]): Overlap | undefined {
  for (const their of theirs) {
    const network = parsePrefix(their);
    const our = ours.find((each) => overlaps(parsePrefix(each), network));
    if (our !== undefined) return { ours: our, theirs: their };
  }
  return undefined;
}

/** The first of `inner` that does not lie within one of `outer`, or undefined. */
export function findOutside(inner: readonly string[], outer: readonly string[]): string | undefined {
  const bounds = outer.map(parsePrefix);
  return inner.find((each) => !bounds.some((bound) => prefixContains(bound, parsePrefix(each))));
}

/** Networks that belong to nobody on the internet: RFC 1918, RFC 6598, RFC 4193. */
export const PRIVATE_NETWORKS = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10', 'fc00::/7'] as const;
