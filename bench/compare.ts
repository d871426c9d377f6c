/**
 * The comparison: in each round every contender in turn, and of each every measure, so that what the machine does
 * meanwhile meets all of them alike.
 */
import type { Contender } from './contenders.ts';
import type { Measure } from './measures.ts';
import { digits, type Results } from './results.ts';
import { startSession } from './session.ts';
import type { Labs, Step } from './steps.ts';

export interface CompareOptions {
  readonly rounds: number;
  readonly seconds: number;
  /** Steps of a search. */
  readonly steps: number;
  readonly contenders: readonly Contender[];
  readonly measures: readonly Measure[];
}

/** A tunnel's start and end, in seconds. */
const VISIT = 1.2;
const JUMBO_MTU = 8921;

export function compareSteps(labs: Labs, options: CompareOptions, results: Results): Step[] {
  const { rounds, seconds, contenders, measures } = options;
  const steps: Step[] = [];
  for (let round = 1; round <= rounds; round++) {
    for (const link of [1500, 9001]) {
      for (const contender of contenders.filter(({ jumbo }) => jumbo || link === 1500)) {
        const due = measures.filter(
          ({ link: wanted = 1500, rounds: most = rounds, applies }) =>
            wanted === link && round <= most && (applies === undefined || applies(contender)),
        );
        if (due.length === 0) continue;
        steps.push({
          label: `round ${round} of ${rounds}, ${contender.label}${link === 1500 ? '' : `, links of ${link}`}`,
          takes: due.reduce((sum, { takes }) => sum + takes(seconds), VISIT),
          run: (say) => visit(labs, link, contender, due, round, options, results, say),
        });
      }
    }
  }
  return steps;
}

async function visit(
  labs: Labs,
  link: number,
  contender: Contender,
  measures: readonly Measure[],
  round: number,
  { seconds, steps }: CompareOptions,
  results: Results,
  say: (text: string) => void,
): Promise<void> {
  const lab = await labs.get(link);
  const session = await startSession(lab, contender, { seconds, steps, ...(link === 1500 ? {} : { mtu: JUMBO_MTU }) });
  const failed: string[] = [];
  try {
    for (const measure of measures) {
      try {
        const value = await measure.run(session);
        if (value === undefined) continue;
        results.runs.push({ measure: measure.id, contender: contender.id, round, value });
        say(`${measure.label}: ${digits(value)} ${measure.unit}`);
      } catch (error) {
        failed.push(`${measure.label}: ${(error as Error).message}`);
      }
    }
  } finally {
    await session.tunnel.stop();
  }
  if (failed.length > 0) throw new Error(failed.join('; '));
}
