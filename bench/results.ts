/** What a benchmark finds out, as it stands in results.json. */
import type { Machine } from './machine.ts';

/** One value of one measure for one contender. */
export interface Run {
  readonly measure: string;
  readonly contender: string;
  readonly round: number;
  readonly value: number;
}

/** One value at one point of a growth curve. */
export interface GrowthRun {
  readonly curve: string;
  readonly size: number;
  readonly figure: 'tcp' | 'ping' | 'memory';
  readonly round: number;
  readonly value: number;
}

/**
 * With a shape of `rate` Mbit/s: what passed of TCP and of more UDP than that, in Mbit/s as the shape counts; and the round
 * trip in ms of pings beside bulk, in a class of their own or not.
 */
export type ShapingFigure = 'tcp' | 'udp' | 'ping-expedited' | 'ping-plain';

export interface ShapingRun {
  readonly rate: number;
  readonly figure: ShapingFigure;
  readonly value: number;
}

export interface MicroResult {
  readonly name: string;
  /** Nanoseconds of each run; the median is the figure. */
  readonly ns: readonly number[];
}

export interface SoakResult {
  readonly name: string;
  readonly passed: boolean;
  readonly detail: string;
}

export interface Results {
  /** When it began, as ISO 8601. */
  readonly date: string;
  readonly machine: Machine;
  readonly rounds: number;
  /** Of one run of TCP. */
  readonly seconds: number;
  /** Contenders that are not here, and why. */
  readonly missing: { readonly contender: string; readonly reason: string }[];
  /** What went wrong on the way, in words. */
  readonly failures: string[];
  readonly runs: Run[];
  readonly growth: GrowthRun[];
  readonly shaping: ShapingRun[];
  readonly micro: MicroResult[];
  readonly soak: SoakResult[];
}

export interface Summary {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** Undefined without values. */
export function summarize(values: readonly number[]): Summary | undefined {
  if (values.length === 0) return undefined;
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  return { median, min: sorted[0], max: sorted.at(-1)! };
}

/** The rates that were shaped to, each with the median of what came of it. */
export function shapedRates({
  shaping,
}: Results): { rate: number; figure: (name: ShapingFigure) => number | undefined }[] {
  return [...new Set(shaping.map(({ rate }) => rate))].map((rate) => ({
    rate,
    figure: (name) => {
      const runs = shaping.filter((run) => run.rate === rate && run.figure === name);
      return summarize(runs.map(({ value }) => value))?.median;
    },
  }));
}

/** A rate, and how far it is from what was asked for: `20.2 (+1.0 %)`. */
export function heldRate(rate: number | undefined, asked: number): string {
  if (rate === undefined) return '-';
  const percent = (rate / asked - 1) * 100;
  return `${digits(rate)} (${percent < 0 ? '−' : '+'}${Math.abs(percent).toFixed(1)} %)`;
}

/** The value below which a share (0 to 1) of the values lie. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}

/** A contender's values of a measure over all rounds. */
export function summaryOf(results: Results, measure: string, contender: string): Summary | undefined {
  const runs = results.runs.filter((run) => run.measure === measure && run.contender === contender);
  return summarize(runs.map(({ value }) => value));
}

/** A number with as many digits as mean something: `12,345`, `34.5`, `0.123`. */
export function digits(value: number): string {
  const size = Math.abs(value);
  const decimals = size >= 100 || size === 0 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3;
  return value.toLocaleString('en-US', { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
}
