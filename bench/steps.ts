/** The benchmark as a list of steps, worked off one after the other with a word on how long it will take. */
import type { Lab } from '../test/lab/lab.ts';
import { twoVpcs } from '../test/lab/two-vpcs.ts';

/** How many seconds of experience the plan itself counts for. */
const GUESS = 60;

export interface Step {
  readonly label: string;
  /** How long it takes, about, in seconds. */
  readonly takes: number;
  /** `say` adds to the progress. What it throws is noted, and the next step goes on. */
  readonly run: (say: (text: string) => void) => Promise<void>;
}

/** Labs by the MTU of their links, made when they are first asked for. */
export class Labs {
  readonly #labs = new Map<number, Promise<Lab>>();

  get(mtu: number): Promise<Lab> {
    const lab = this.#labs.get(mtu) ?? twoVpcs({ mtu });
    this.#labs.set(mtu, lab);
    return lab;
  }

  async dispose(): Promise<void> {
    for (const lab of await Promise.allSettled(this.#labs.values())) {
      if (lab.status === 'fulfilled') await lab.value.dispose();
    }
  }
}

/** Works the steps off, with progress on stderr. Resolves with what went wrong, a line each. */
export async function workOff(steps: readonly Step[], stop: AbortSignal): Promise<string[]> {
  const failures: string[] = [];
  const total = steps.reduce((sum, { takes }) => sum + takes, 0);
  const begun = performance.now();
  let planned = 0;
  for (const { label, takes, run } of steps) {
    const elapsed = (performance.now() - begun) / 1000;
    // The plan is off by about the same factor all the way, which shows after a while.
    const left = ((total - planned) * (elapsed + GUESS)) / (planned + GUESS);
    const say = (text: string): void => void process.stderr.write(`${text}\n`);
    say(`[${minutes(left)} left] ${label}`);
    try {
      await run((text) => say(`    ${text}`));
    } catch (error) {
      if (stop.aborted) return failures;
      const [reason] = (error as Error).message.split('\n');
      failures.push(`${label}: ${reason}`);
      say(`    failed: ${(error as Error).message}`);
    }
    planned += takes;
  }
  return failures;
}

function minutes(seconds: number): string {
  return `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, '0')}`;
}
