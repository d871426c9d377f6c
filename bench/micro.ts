/** The hot functions alone, in this process: a slower data plane is seen here before a tunnel is built. */
import { MICROBENCHMARKS } from './micro-subjects.ts';
import { digits, summarize, type Results } from './results.ts';
import type { Step } from './steps.ts';

/** Something measured: one call does `operations` operations. */
export interface Microbenchmark {
  readonly name: string;
  readonly operations: number;
  /** What has to be put right before each call, off the clock. */
  readonly restore?: () => void;
  readonly call: () => void;
}

const RUNS = { full: 7, quick: 5 } as const;
/** ms on the clock in one run. */
const TIME = { full: 50, quick: 20 } as const;
const WARM_UP = 50;

export function microSteps(quick: boolean, results: Results): Step[] {
  const runs = quick ? RUNS.quick : RUNS.full;
  const time = quick ? TIME.quick : TIME.full;
  return [
    {
      label: 'hot functions',
      takes: (MICROBENCHMARKS.length * (runs * time + WARM_UP) * 1.5) / 1000 + 6,
      run: (say) => {
        for (const prepare of MICROBENCHMARKS) {
          const subject = prepare();
          timePerOperation(subject, WARM_UP);
          const ns = Array.from({ length: runs }, () => timePerOperation(subject, time));
          results.micro.push({ name: subject.name, ns });
          say(`${subject.name}: ${digits(summarize(ns)!.median)} ns`);
        }
        return Promise.resolve();
      },
    },
  ];
}

/** Nanoseconds per operation, from calls that take `milliseconds` on the clock. */
function timePerOperation({ operations, restore, call }: Microbenchmark, milliseconds: number): number {
  const end = milliseconds * 1e6;
  let elapsed = 0;
  let calls = 0;
  while (elapsed < end) {
    restore?.();
    const before = process.hrtime.bigint();
    call();
    elapsed += Number(process.hrtime.bigint() - before);
    calls++;
  }
  return elapsed / (calls * operations);
}
