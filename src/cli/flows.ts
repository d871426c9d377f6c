import { setTimeout as sleep } from 'node:timers/promises';
import { Command } from 'commander';
import type { FlowsAnswer } from '../gateway/flow-top.ts';
import { formatFlows } from '../observe/flows-text.ts';
import { askGateway } from './ask.ts';

const CLEAR_SCREEN = '\u001b[H\u001b[2J\u001b[3J';
/** What has been noted for a shorter time than this, in seconds, tells nothing yet. */
const FIRST_LOOK = 2;

interface Options {
  readonly top: string;
  readonly sort: string;
  readonly peering?: string;
  readonly address?: string;
  readonly port?: string;
  readonly protocol?: string;
  readonly watch?: true;
  readonly json?: true;
}

export function command(): Command {
  return new Command('flows')
    .summary('show who uses a running gateway most')
    .description(
      'Shows the flows that carry most through a running gateway, each direction on a line of its own, and those that ' +
        'are refused, with the reason. Counted is what went by in the last minute or two. Without a flow log in the ' +
        'configuration, flows are noted from the first question on, for two minutes after the last: that one waits two ' +
        'seconds.',
    )
    .argument('[interface]', 'which gateway; may be left out where one runs')
    .option('--top <n>', 'how many flows, up to 1000', '20')
    .option('--sort <what>', 'bytes, packets or rate', 'bytes')
    .option('--peering <name>', 'only those of this peering')
    .option('--address <cidr>', 'only those from or to this network')
    .option('--port <n>', 'only those from or to this port')
    .option('--protocol <name>', 'only those of this protocol: a name or a number')
    .option('--watch', 'show it anew every second')
    .option('--json', 'print JSON, for scripts')
    .addHelpText(
      'after',
      '\nExamples:\n  isthmus flows --top 5\n  isthmus flows --watch --sort rate --peering beijing\n' +
        '  isthmus flows --address 172.31.1.10 --protocol tcp --port 443\n' +
        '  isthmus flows --json | jq -r \'.flows[] | select(.action == "reject") | .source\'',
    )
    .action(flows);
}

async function flows(name: string | undefined, options: Options): Promise<void> {
  const { top, sort, peering, address, port, protocol, watch, json } = options;
  const asked = new URLSearchParams({ limit: top, sort });
  for (const [key, value] of Object.entries({ peering, address, port, protocol })) {
    if (value !== undefined) asked.set(key, value);
  }
  const ask = async (): Promise<FlowsAnswer> =>
    (await askGateway(name, 'GET', `/v1/flows?${asked.toString()}`)) as FlowsAnswer;
  let isRead = true;
  process.stdout.once('error', () => (isRead = false));
  let answer = await ask();
  while (answer.watched_s < FIRST_LOOK && !watch) {
    await sleep(FIRST_LOOK * 1000);
    answer = await ask();
  }
  while (isRead) {
    const text = json ? `${JSON.stringify(answer, null, watch ? 0 : 2)}\n` : formatFlows(answer);
    process.stdout.write(watch && !json ? `${CLEAR_SCREEN}${text}` : text);
    if (!watch) return;
    await sleep(1000);
    answer = await ask();
  }
}
