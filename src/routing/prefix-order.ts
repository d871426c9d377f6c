/** Sorting of prefixes by typed keys: of a hundred thousand, objects and closures would be most of the time. */
import type { Prefix } from './prefix.ts';

const SIGN = 1 << 31;

/** A word of an address so that int32s compare as the addresses do. */
export function sortable(word: number): number {
  return word ^ SIGN;
}

/**
 * The numbers from 0 on in the order of their keys: `width` words in `words`, then the number in `last`. Those with equal
 * keys stay as they are.
 */
export function orderByKeys(words: Int32Array, width: number, last: Int32Array): Uint32Array {
  const order = Uint32Array.from(last.keys());
  const compare = (a: number, b: number): number => {
    for (let word = 0; word < width; word++) {
      const left = words[a * width + word];
      const right = words[b * width + word];
      if (left !== right) return left < right ? -1 : 1;
    }
    return last[a] - last[b];
  };
  // Lists come sorted more often than not.
  let sorted = 1;
  while (sorted < order.length && compare(sorted - 1, sorted) <= 0) sorted++;
  return sorted < order.length ? order.sort(compare) : order;
}

/** The order of `comparePrefixes` for canonical prefixes, then of `rankOf` (0 to 15). */
export function orderPrefixes(prefixes: readonly Prefix[], rankOf: (number: number) => number): Uint32Array {
  const width = 5;
  const words = new Int32Array(prefixes.length * width);
  const last = new Int32Array(prefixes.length);
  for (const [number, { family, address, bits }] of prefixes.entries()) {
    const at = number * width;
    words[at] = family;
    for (let word = 0; word < 4; word++) words[at + 1 + word] = sortable(address[word]);
    last[number] = (bits << 4) | rankOf(number);
  }
  return orderByKeys(words, width, last);
}
