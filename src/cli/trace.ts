import { Command } from 'commander';
import type { LiveEnd, LiveStep } from '../gateway/live.ts';
import { formatLive } from '../observe/trace-text.ts';
import { followGateway } from './ask.ts';

interface Options {
  readonly json?: true;
  readonly [name: string]: string | true | undefined;
}

export function command(): Command {
  return new Command('trace')
    .summary('follow packets through a running gateway')
    .description(
      'Prints a line for each packet that matches as it passes a running gateway: where it came in, where it goes, and ' +
        'whether it passed or for what reason it was dropped. Both directions of a flow are shown. Packets of a flow ' +
        'that are carried as one are one line.',
    )
    .argument('[interface]', 'which gateway; may be left out where one runs')
    .requiredOption('--live', 'follow packets as they pass')
    .option('--source <address>', 'one end of the flow')
    .option('--destination <address>', 'its other end')
    .option('--protocol <name>', 'tcp, udp, icmp or a number')
    .option('--port <number>', 'of either end')
    .option('--seconds <number>', 'end after so long (10)')
    .option('--steps <number>', 'end after so many lines (1000)')
    .option('--json', 'print a line of JSON each, for scripts')
    .addHelpText(
      'after',
      '\nExamples:\n  isthmus trace --live --source 172.31.1.9 --port 443\n' +
        '  isthmus trace --live --protocol icmp --seconds 60 --json | jq "select(.reason)"',
    )
    .action(trace);
}

async function trace(name: string | undefined, options: Options): Promise<void> {
  const query = new URLSearchParams();
  for (const option of ['source', 'destination', 'protocol', 'port', 'seconds', 'steps']) {
    const value = options[option];
    if (typeof value === 'string') query.set(option, value);
  }
  for await (const line of followGateway(name, `/v1/trace/live?${query.toString()}`)) {
    if (process.stdout.errored !== null) return;
    process.stdout.write(options.json ? `${JSON.stringify(line)}\n` : formatLive(line as LiveStep | LiveEnd));
  }
}
