/** The command line. */
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { CONTENDERS } from './contenders.ts';
import { CURVES } from './growth.ts';
import { MEASURES } from './measures.ts';

export interface Options {
  readonly help: boolean;
  readonly quick: boolean;
  readonly rounds: number;
  readonly seconds: number;
  /** Whether a measure, a growth curve or one of the groups is to be run. */
  readonly wanted: (id: string) => boolean;
  /** Whether a contender takes part. */
  readonly against: (id: string) => boolean;
  readonly json: string | undefined;
  /** The folder for the report; undefined for none. */
  readonly report: string | undefined;
}

const names = (list: readonly { id: string }[]): string[] => list.map(({ id }) => id);
/** In the checkout, seen from `dist/bench`. */
const RESULTS = fileURLToPath(new URL('../../bench/results', import.meta.url));
const GROUPS = ['growth', 'micro', 'shaping', 'reloads', 'soak'];

export const USAGE = `npm run bench -- [OPTION…]

Measures Isthmus against other tunnels between two VPCs of network namespaces. Needs root.

  --quick          under three minutes: one round, runs of a second, two points of each growth curve
  --rounds N       how often everything is measured (5)
  --seconds N      of one run of TCP (5; the reference took 60)
  --only LIST      measures, growth curves or groups, with commas between them
  --against LIST   contenders, with commas between them
  --soak           also: a minute of each mode with a rekey every 10 s, 20 GB checked, pauses of the garbage collector,
                   1,000 reloads (by themselves, in two minutes: --only reloads)
  --json FILE      writes every run
  --report DIR     where the report goes: bench/results/, if all is measured; nowhere, if not
  --help

  measures    ${wrap(names(MEASURES))}
  growth      ${names(CURVES).join(' ')}
  groups      ${GROUPS.join(' ')}
  contenders  ${names(CONTENDERS).join(' ')}
`;

function wrap(words: readonly string[]): string {
  const half = Math.ceil(words.length / 2);
  return `${words.slice(0, half).join(' ')}\n              ${words.slice(half).join(' ')}`;
}

/** Reads the arguments; what is wrong with them, as a text, if something is. */
export function readOptions(argv: readonly string[]): Options | string {
  try {
    const { values } = parseArgs({
      args: [...argv],
      options: {
        quick: { type: 'boolean', default: false },
        rounds: { type: 'string' },
        seconds: { type: 'string' },
        only: { type: 'string' },
        against: { type: 'string' },
        soak: { type: 'boolean', default: false },
        json: { type: 'string' },
        report: { type: 'string' },
        help: { type: 'boolean', default: false },
      },
    });
    const { quick, soak, help, json } = values;
    const only = list('--only', values.only, [...names(MEASURES), ...names(CURVES), ...GROUPS]);
    const against = list('--against', values.against, names(CONTENDERS));
    const curves = names(CURVES);
    return {
      help,
      quick,
      rounds: count('--rounds', values.rounds, quick ? 1 : 5),
      seconds: count('--seconds', values.seconds, quick ? 1 : 5),
      wanted: (id) =>
        (soak && isEndurance(id)) ||
        (only === undefined
          ? !isEndurance(id) && (!quick || !isThorough(id))
          : only.includes(id) || (curves.includes(id) && only.includes('growth'))),
      against: (id) => (against === undefined ? !quick || !isVariant(id) : against.includes(id)),
      json,
      report: values.report ?? (quick || only || against ? undefined : RESULTS),
    };
  } catch (error) {
    return (error as Error).message;
  }
}

const isEndurance = (id: string): boolean => id === 'reloads' || id === 'soak';

const isThorough = (id: string): boolean =>
  id === 'shaping' || MEASURES.some((measure) => measure.id === id && measure.thorough);

const isVariant = (id: string): boolean => CONTENDERS.some((contender) => contender.id === id && contender.variant);

function list(option: string, text: string | undefined, known: readonly string[]): string[] | undefined {
  const words = text?.split(',').map((word) => word.trim());
  const unknown = words?.find((word) => !known.includes(word));
  if (unknown !== undefined) throw new Error(`${option}: "${unknown}" is none of ${known.join(', ')}`);
  return words;
}

function count(option: string, text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise;
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > 1000)
    throw new Error(`${option}: wants 1 to 1000, not "${text}"`);
  return value;
}
