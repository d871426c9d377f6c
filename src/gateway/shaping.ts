/** The shapes of a gateway's peerings: what the data plane is told of them, and what it has counted. */
import { CLASS_COUNTER, createClassCounters } from '../policy/shaper.ts';
import type { ShapeSpec } from '../policy/shaper.ts';
import type { PeeringConfig } from './config.ts';
import type { ShapeStatus } from './status.ts';

export type ShapeOrder = (
  direction: 'out' | 'in',
  slot: number,
  spec: ShapeSpec | undefined,
  counters: Float64Array,
) => void;

interface Shaped {
  readonly text: string;
  readonly spec: ShapeSpec;
  readonly counters: Float64Array;
}

const DIRECTIONS = ['out', 'in'] as const;

export class Shapes {
  readonly #order: ShapeOrder;
  readonly #shaped = { out: new Map<number, Shaped>(), in: new Map<number, Shaped>() };

  constructor(order: ShapeOrder) {
    this.#order = order;
  }

  /** Shapes the peer in `slot` as its peering says. What is as before stays untouched. */
  set(slot: number, shape: PeeringConfig['shape']): void {
    for (const direction of DIRECTIONS) {
      const spec = shape[direction];
      const before = this.#shaped[direction].get(slot);
      const text = JSON.stringify(spec);
      if (before?.text === text) continue;
      const counters = before?.counters ?? createClassCounters();
      this.#order(direction, slot, spec, counters);
      if (spec === undefined) this.#shaped[direction].delete(slot);
      else this.#shaped[direction].set(slot, { text, spec, counters });
    }
  }

  /** The peer is gone, for the data plane too. */
  forget(slot: number): void {
    for (const direction of DIRECTIONS) this.#shaped[direction].delete(slot);
  }

  status(slot: number): ShapeStatus[] {
    return DIRECTIONS.flatMap((direction) => {
      const shaped = this.#shaped[direction].get(slot);
      if (shaped === undefined) return [];
      const { rate, burst, classes } = shaped.spec;
      const count = (number: number, counter: keyof typeof CLASS_COUNTER): number =>
        shaped.counters[number * CLASS_COUNTER.words + CLASS_COUNTER[counter]];
      return {
        direction,
        rate_bit: rate * 8,
        burst_bytes: burst,
        classes: classes.map(({ name, priority, weight, rate: own }, number) => ({
          name,
          priority,
          weight,
          rate_bit: own === 0 ? null : own * 8,
          packets: count(number, 'packets'),
          bytes: count(number, 'bytes'),
          delayed: count(number, 'delayed'),
          drops: count(number, 'drops'),
          queued_bytes: count(number, 'queued'),
        })),
      };
    });
  }
}
