/**
 * Why a packet was dropped. The name is at once the test's oracle, the metric's label and the word in `isthmus status`;
 * the number is its place in a counter row.
 */
export const DROP_REASONS = [
  'none',
  // overlay packets, as read from the TUN or opened from a peer
  'malformed-packet',
  'no-route',
  'blackhole-route',
  'source-not-local',
  'source-not-allowed',
  'destination-not-local',
  'source-routed',
  'acl-rule',
  'acl-default',
  'security-group',
  'network-acl',
  'flow-table-full',
  'fragment-without-first',
  'fragment-tiny',
  'fragment-overlap',
  'ttl-expired',
  'packet-too-big',
  'transit-queue-full',
  'answer-limited',
  'probe-limited',
  'control-limited',
  'shaper-queue-full',
  'rate-exceeded',
  // a peer's session
  'no-endpoint',
  'no-session',
  'staging-full',
  'key-expired',
  // underlay datagrams
  'malformed-datagram',
  'unknown-index',
  'bad-tag',
  'replayed',
  'handshake-queue-full',
  'bad-mac1',
  'same-role',
  'other-cipher',
  'mac1-limited',
  'bad-handshake',
  'unknown-peer',
  'rate-limited',
  'under-load',
  // the system
  'send-failed',
  'write-failed',
] as const;

export type DropReason = (typeof DROP_REASONS)[number];

/** Each reason's number, by name: `DROP['no-route']`. */
export const DROP = Object.freeze(
  Object.fromEntries(DROP_REASONS.map((reason, number) => [reason, number])),
) as Readonly<Record<DropReason, number>>;
