/** The shapes of a gateway's peerings: what the data plane is told of them, and what it has counted. */
import { CLASS_COUNTER, createClassCounters, queueLimit, takesTheRest } from '../policy/shaper.ts';
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

/** The class that a packet would be in: bytes that wait in it, and how many may. */
export interface ShapeOutlook {
  readonly name: string;
  readonly queued: number;
  readonly limit: number;
}

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

  /** What the class of an unmarked packet holds, of a flow that the rule of this name let begin; undefined without a shape. */
  outlook(slot: number, direction: (typeof DIRECTIONS)[number], rule: string | undefined): ShapeOutlook | undefined {
    const shaped = this.#shaped[direction].get(slot);
    if (shaped === undefined) return undefined;
    const { rate, classes } = shaped.spec;
    const byRule = classes.findIndex(({ rules = [] }) => rule !== undefined && rules.includes(rule));
    const byDscp = classes.findIndex(({ dscp }) => dscp.includes(0));
    const number = byRule >= 0 ? byRule : byDscp >= 0 ? byDscp : classes.findIndex(takesTheRest);
    const queued = shaped.counters[number * CLASS_COUNTER.words + CLASS_COUNTER.queued];
    return { name: classes[number].name, queued, limit: queueLimit(rate) };
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
