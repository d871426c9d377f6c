import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { pipeline } from 'node:stream';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { createGunzip } from 'node:zlib';
import { Command, Option } from 'commander';
import { flowLogFormat } from '../control/config-flow-logs.ts';
import { flowQuery } from '../control/flow-query.ts';
import { IsthmusError } from '../gateway/errors.ts';
import type { FlowsAnswer } from '../gateway/flow-top.ts';
import { readTopFlows } from '../observe/flow-log-read.ts';
import { formatFlows, formatLoggedFlows } from '../observe/flows-text.ts';
import { readOption } from './arguments.ts';
import { askGateway } from './ask.ts';
import { CLEAR_SCREEN } from './output.ts';

/** What has been noted for a shorter time than this, in seconds, tells nothing yet. */
const FIRST_LOOK = 2;

interface Options {
  readonly top: string;
  readonly sort: string;
  readonly peering?: string;
  readonly address?: string;
  readonly port?: string;
  readonly protocol?: string;
  readonly read?: string;
  readonly format?: string;
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
        'seconds.\n\nWith --read it is a flow log that is looked through, no gateway need run: one of ours, or one of AWS, with ' +
        'or without the line that names the fields.',
    )
    .argument('[interface]', 'which gateway; may be left out where one runs')
    .addOption(new Option('--top <n>', 'how many flows, up to 1000').default('20', '20'))
    .addOption(new Option('--sort <what>', 'bytes, packets or rate').default('bytes', 'bytes'))
    .option('--peering <name>', 'only those of this peering')
    .option('--address <cidr>', 'only those from or to this network')
    .option('--port <n>', 'only those from or to this port')
    .option('--protocol <name>', 'only those of this protocol: a name (icmp is that of either family) or a number')
    .option('--read <file>', 'of a flow log: a file, also one that ends in .gz, or - for standard input')
    .option('--format <fields>', "the log's format as in the configuration, where no line names the fields")
    .option('--watch', 'show it anew every second')
    .option('--json', 'print JSON, for scripts')
    .addHelpText(
      'after',
      '\nExamples:\n  isthmus flows --top 5\n  isthmus flows --watch --sort rate --peering beijing\n' +
        '  isthmus flows --address 172.31.1.10 --protocol tcp --port 443\n' +
        '  isthmus flows --read /var/log/isthmus/flows.log --top 5 --port 443\n' +
        '  zcat vpcflowlogs/*.gz | isthmus flows --read - --sort packets --json\n' +
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
  if (options.read !== undefined) return readLog(options.read, asked, options);
  if (options.format !== undefined) throw new IsthmusError('ISTHMUS_USAGE', '--format goes with --read');
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

async function readLog(path: string, asked: URLSearchParams, { format, watch, json }: Options): Promise<void> {
  if (watch) throw new IsthmusError('ISTHMUS_USAGE', '--watch shows a running gateway; wanted it without --read');
  const fields = format === undefined ? undefined : readOption('--format', format, flowLogFormat);
  const query = flowQuery(asked);
  const answer = await readTopFlows(linesOf(path), query, fields);
  process.stdout.write(json ? `${JSON.stringify(answer, null, 2)}\n` : formatLoggedFlows(answer));
}

/** The lines of a file; a problem with it is one of usage. */
async function* linesOf(path: string): AsyncGenerator<string> {
  const file: Readable = path === '-' ? process.stdin : createReadStream(path);
  const text: Readable = path.endsWith('.gz') ? pipeline(file, createGunzip(), () => undefined) : file;
  // Not every version of Node hands an error of what it reads on to who takes the lines.
  let problem: NodeJS.ErrnoException | undefined;
  text.once('error', (error) => (problem = error));
  try {
    yield* createInterface({ input: text, crlfDelay: Infinity });
  } catch (error) {
    problem = error as NodeJS.ErrnoException;
  }
  if (problem === undefined) return;
  const reason = problem.code === 'ENOENT' ? 'there is no such file' : problem.message;
  throw new IsthmusError('ISTHMUS_USAGE', `--read ${path}: ${reason}; wanted a flow log`);
}
