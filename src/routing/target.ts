/**
 * Where a route leads. A peering is its slot; the constants here stand beside the slots, above them
 * all, and fit the values of a prefix table.
 */

/** The local VPC, and the gateway's own overlay addresses. */
export const LOCAL = 1 << 30;

/** Added to a bundle's number: several peerings that carry the same prefixes, one of which is chosen by flow. */
export const BUNDLE = 1 << 29;

/** The number of the bundle that a target names, or -1 if it is another target. */
export function bundleOf(target: number): number {
  return target >= BUNDLE && target < LOCAL ? target - BUNDLE : -1;
}

/** Nowhere: what matches is dropped, on purpose. */
export const BLACKHOLE = 1 << 28;
