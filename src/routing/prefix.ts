import { Address4, Address6 } from 'ip-address';
import { addressWords, formatAddress } from '../wire/endpoint.ts';

/** Four big-endian words as int32. IPv4 stands in word 3 with words 0 to 2 zero, as in `Packet`. */
export type AddressWords = readonly [number, number, number, number];

/** An address and how many of its leading bits count: 0 to 32 for family 4, 0 to 128 for family 6. */
export interface Prefix {
  readonly family: 4 | 6;
  readonly address: AddressWords;
  readonly bits: number;
}

/**
 * A prefix from its text, `10.0.0.0/8` or `2001:db8::/32`; a bare address is one of full length. Host bits are kept, so
 * that a caller can point at them: see `hasHostBits`. Throws a `RangeError` that says what is wrong with the text.
 */
export function parsePrefix(text: string): Prefix {
  const slash = text.indexOf('/');
  const host = slash < 0 ? text : text.slice(0, slash);
  const family = Address4.isValid(host) ? 4 : Address6.isValid(host) && !host.includes('%') ? 6 : undefined;
  if (family === undefined) throw new RangeError(`not a CIDR: "${text}" has no IPv4 or IPv6 address`);
  const full = fullLength(family);
  const length = slash < 0 ? String(full) : text.slice(slash + 1);
  if (!/^(0|[1-9]\d{0,2})$/.test(length) || Number(length) > full) {
    throw new RangeError(`not a CIDR: the prefix length in "${text}" must be 0 to ${full}`);
  }
  const words = addressWords(host);
  return { family, address: family === 4 ? [0, 0, 0, words[3]] : words, bits: Number(length) };
}

/** The text that `parsePrefix` reads, always with its length; IPv6 in its shortest form (RFC 5952). */
export function formatPrefix(prefix: Prefix): string {
  const [w0, w1, w2, w3] = prefix.address;
  if (prefix.family === 4) return `${formatAddress([0, 0, 0xffff, w3])}/${prefix.bits}`;
  const text = formatAddress([w0, w1, w2, w3]);
  return `${text.includes(':') ? text : `::ffff:${text}`}/${prefix.bits}`;
}

/** The prefix with its host bits cleared: the same object if there are none. */
export function canonical(prefix: Prefix): Prefix {
  if (!hasHostBits(prefix)) return prefix;
  const [w0, w1, w2, w3] = prefix.address;
  const masked = (word: number, index: number) => word & maskWord(prefix, index);
  return { ...prefix, address: [masked(w0, 0), masked(w1, 1), masked(w2, 2), masked(w3, 3)] };
}

/** Whether bits behind the prefix length are set, as in `10.0.0.1/8`. */
export function hasHostBits(prefix: Prefix): boolean {
  for (let index = 0; index < 4; index++) if ((prefix.address[index] & ~maskWord(prefix, index)) !== 0) return true;
  return false;
}

/** Whether every address of `inner` is one of `outer`. */
export function prefixContains(outer: Prefix, inner: Prefix): boolean {
  if (outer.family !== inner.family || outer.bits > inner.bits) return false;
  return outer.address.every((word, index) => ((word ^ inner.address[index]) & maskWord(outer, index)) === 0);
}

/** Whether an address is in both. Of two prefixes that overlap, one contains the other. */
export function overlaps(a: Prefix, b: Prefix): boolean {
  return prefixContains(a, b) || prefixContains(b, a);
}

function fullLength(family: 4 | 6): number {
  return family === 4 ? 32 : 128;
}

/** The bits of word `index` that count. */
export function maskWord(prefix: Prefix, index: number): number {
  const bits = prefix.bits + 128 - fullLength(prefix.family) - 32 * index;
  if (bits <= 0) return 0;
  return bits >= 32 ? -1 : -1 << (32 - bits);
}
