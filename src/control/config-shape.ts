/** The notations of rates, sizes and DSCPs, and the schema of a peering's `shape`. */
import { z } from 'zod';
import { takesTheRest } from '../gateway/config.ts';
import type { ShapeClassConfig, ShapeConfig } from '../gateway/config.ts';
import { IsthmusError } from '../gateway/errors.ts';
import { didYouMean } from './config-nearest.ts';
import { either, leaf, mapping, oneOrMany } from './config-schema-parts.ts';
import * as text from './config-text.ts';

/** Bits per second by unit; as on every link, a kilobit is 1000 bits. */
const RATES: Readonly<Record<string, number>> = { bit: 1, kbit: 1e3, mbit: 1e6, gbit: 1e9 };
const RATE_LEAST = 64e3;
const RATE_MOST = 100e9;
/** Bytes by unit. */
const SIZES: Readonly<Record<string, number>> = {
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
};
const BURST_LEAST = 1500;
const BURST_MOST = 2 ** 30;
/** What a burst lasts at the rate if nothing is said, and its least, in seconds: a thread that wakes late catches up by it. */
const BURST_TIME = 0.02;
const BURST_DEFAULT_LEAST = 65_536;

const AF_CLASSES = [1, 2, 3, 4];
const AF_DROPS = [1, 2, 3];
/** Code points by name (RFC 2474, 2597, 3246, 5865, 8622). */
const DSCPS: Readonly<Record<string, number>> = {
  be: 0,
  le: 1,
  ...Object.fromEntries(Array.from({ length: 8 }, (_, number) => [`cs${number}`, number * 8])),
  ...Object.fromEntries(
    AF_CLASSES.flatMap((number) => AF_DROPS.map((drop) => [`af${number}${drop}`, number * 8 + drop * 2])),
  ),
  va: 44,
  ef: 46,
};

/** `100mbit`: bytes per second. */
export function rate(value: unknown): number {
  const wanted = 'a rate with its unit such as 64kbit, 100mbit or 1gbit, 64kbit to 100gbit';
  return quantity(value, RATES, [RATE_LEAST, RATE_MOST], wanted) / 8;
}

/** `256kb`: bytes. */
export function size(value: unknown): number {
  const wanted = 'a size with its unit such as 64kb or 1mb, 1500b to 1gib';
  return Math.round(quantity(value, SIZES, [BURST_LEAST, BURST_MOST], wanted));
}

function quantity(
  value: unknown,
  units: Readonly<Record<string, number>>,
  [least, most]: readonly [number, number],
  wanted: string,
): number {
  if (value === undefined || value === null || typeof value === 'object') throw text.unwanted(value, wanted);
  const parts = typeof value === 'string' ? /^(\d{1,12}(?:\.\d{1,6})?)\s*([a-z]+)$/i.exec(value) : null;
  const unit = parts === null ? undefined : units[parts[2].toLowerCase()];
  const amount = parts === null || unit === undefined ? NaN : Number(parts[1]) * unit;
  if (amount >= least && amount <= most) return amount;
  const found = typeof value === 'number' ? `${value} has no unit` : `is ${text.shown(value)}`;
  throw new IsthmusError('ISTHMUS_CONFIG_RATE', `${found}; wanted ${wanted}`);
}

/** A DSCP by name or number. */
export function dscp(value: unknown): number {
  const name = typeof value === 'string' ? value.toLowerCase() : '';
  if (Object.hasOwn(DSCPS, name)) return DSCPS[name];
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 63) return value;
  const guess = didYouMean(name, Object.keys(DSCPS));
  throw text.unwanted(value, `a DSCP${guess}: ef, va, be, le, cs0 to cs7, af11 to af43, or a number from 0 to 63`);
}

const PRIORITY_DEFAULT = 4;
/** What no class takes. No name in a file has brackets. */
const REST = { name: '(default)', dscp: [], priority: PRIORITY_DEFAULT, weight: 1, rate: 0 } satisfies ShapeClassConfig;

export const shapeClassSchema = mapping({
  name: leaf(text.name),
  dscp: oneOrMany(dscp, 1).default([]),
  rules: oneOrMany(text.name, 1).optional(),
  priority: leaf((value) => text.integer(value, 1, 8)).default(PRIORITY_DEFAULT),
  weight: leaf((value) => text.integer(value, 1, 1000)).default(1),
  rate: leaf(rate).optional(),
});

type RawClass = z.output<typeof shapeClassSchema>;

export const shapeDirectionSchema = mapping({
  rate: leaf(rate),
  burst: leaf(size).optional(),
  classes: z.array(shapeClassSchema).max(15, { error: 'has too many classes; wanted at most 15' }).default([]),
});

/** A rate alone, or all of it; what is left out is filled in. */
const direction = either(
  (value) => typeof value !== 'object' || value === null,
  leaf(rate).transform((only) => complete({ rate: only, classes: [] })),
  shapeDirectionSchema.transform(complete),
);

export const shapeSchema = mapping({ out: direction.optional(), in: direction.optional() });

function complete({
  rate,
  burst,
  classes,
}: {
  rate: number;
  burst?: number | undefined;
  classes: readonly RawClass[];
}): ShapeConfig {
  const named = classes.map(({ rate: own = 0, rules, ...rest }): ShapeClassConfig => ({
    ...rest,
    ...(rules !== undefined && { rules }),
    rate: own,
  }));
  const all = named.some(takesTheRest) ? named : [...named, REST];
  return { rate, burst: burst ?? Math.max(BURST_DEFAULT_LEAST, Math.round(rate * BURST_TIME)), classes: all };
}
