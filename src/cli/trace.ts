import { Command } from 'commander';
import type { LiveEnd, LiveStep } from '../gateway/live.ts';
import { IsthmusError } from '../gateway/errors.ts';
import type { TraceAnswer } from '../gateway/trace.ts';
import { formatLive, formatTrace } from '../observe/trace-text.ts';
import { askGateway, followGateway } from './ask.ts';

interface Options {
  readonly json?: true;
  readonly [name: string]: string | true | undefined;
}

/** What the command ends with if the packet would be dropped. */
const DROPPED = 1;
/** Options that go into the query by their names, and those that only one of the two kinds of trace has. */
const SHARED = ['source', 'destination', 'protocol', 'port'] as const;
const ONLY_ASKING = ['from', 'source-port', 'size', 'ttl'] as const;
const ONLY_LIVE = ['seconds', 'steps'] as const;

export function command(): Command {
  return new Command('trace')
    .summary('say what would become of a packet, or follow real ones')
    .description(
      'Says step by step what a running gateway would do with a packet, without sending it: where it comes in, whose its ' +
        'source is, which route it takes, what the rules say, whether the peering can carry it. The code that forwards ' +
        'packets decides it, and nothing is changed. Ends with 0 if the packet would pass, with 1 if not.\n\n' +
        'With --live it prints a line for each real packet that matches, in both directions of a flow, as it is decided.',
    )
    .argument('[interface]', 'which gateway; may be left out where one runs')
    .option('--source <address>', 'where the packet comes from; live: one end of the flow')
    .option('--destination <address>', 'where it goes; live: the other end')
    .option(
      '--protocol <name>',
      'tcp (the first packet of a connection), udp, icmp or a number (default: tcp); live: any',
    )
    .option('--port <number>', "the destination's; of ICMP the type; live: of either end")
    .option(
      '--from <attachment>',
      'where it comes in: local, a peering, or auto, to which its source belongs (default: auto)',
    )
    .option('--source-port <number>', "the source's port (default: 49152)")
    .option('--size <bytes>', 'of the whole packet')
    .option('--ttl <hops>', 'hops left (default: 64)')
    .option('--live', 'follow packets as they pass')
    .option('--seconds <number>', 'live: end after so long (default: 10)')
    .option('--steps <number>', 'live: end after so many lines (default: 1000)')
    .option('--json', 'print JSON, for scripts; live: a line each')
    .addHelpText(
      'after',
      '\nExamples:\n  isthmus trace --source 172.31.1.9 --destination 192.168.0.7 --port 443\n' +
        '  isthmus trace --from beijing --source 192.168.0.7 --destination 172.31.1.9 --protocol icmp\n' +
        '  isthmus trace --source 10.1.0.9 --destination 10.2.0.9 --protocol udp --port 53 --json | jq .reason\n' +
        '  isthmus trace --live --source 172.31.1.9 --port 443',
    )
    .action((name: string | undefined, options: Options) =>
      options['live'] !== undefined ? follow(name, options) : ask(name, options),
    );
}

async function ask(name: string | undefined, options: Options): Promise<void> {
  const query = queryOf(options, [...SHARED, ...ONLY_ASKING], ONLY_LIVE, '--live');
  const answer = (await askGateway(name, 'GET', `/v1/trace?${query}`)) as TraceAnswer;
  process.stdout.write(options.json ? `${JSON.stringify(answer, null, 2)}\n` : formatTrace(answer));
  if (!answer.passes) process.exitCode = DROPPED;
}

async function follow(name: string | undefined, options: Options): Promise<void> {
  const query = queryOf(options, [...SHARED, ...ONLY_LIVE], ONLY_ASKING, 'a packet that is not live');
  for await (const line of followGateway(name, `/v1/trace/live?${query}`)) {
    if (process.stdout.errored !== null) return;
    process.stdout.write(options.json ? `${JSON.stringify(line)}\n` : formatLive(line as LiveStep | LiveEnd));
  }
}

function queryOf(options: Options, taken: readonly string[], refused: readonly string[], where: string): string {
  const query = new URLSearchParams();
  const value = (option: string) => options[option.replace(/-p/, 'P')];
  for (const option of refused) {
    if (value(option) !== undefined) throw new IsthmusError('ISTHMUS_USAGE', `--${option} is for ${where} only`);
  }
  for (const option of taken) {
    const text = value(option);
    if (typeof text === 'string') query.set(option, text);
  }
  return query.toString();
}
