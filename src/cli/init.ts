import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { Command } from 'commander';
import nacl from 'tweetnacl';
import { cidr, cipher, name } from '../control/config-text.ts';
import { IsthmusError } from '../gateway/errors.ts';
import { encodeKey } from '../gateway/secrets.ts';
import { formatPrefix } from '../gateway/text.ts';
import { calledAt, partsOf, readOption } from './arguments.ts';
import type { InitAnswers } from './init-files.ts';
import { configurationText, overlayPair } from './init-files.ts';
import { writeGateway } from './init-gateway.ts';
import type { GatewayOptions } from './init-gateway.ts';
import { writePrivateFiles } from './output.ts';

/** What init wants to know. An option and a question each; what has a default need not be answered. */
interface Question {
  readonly key: string;
  readonly flags: string;
  readonly description: string;
  readonly default?: string;
  /** Throws with what is wanted when the text is no answer. */
  readonly check: (text: string) => unknown;
}

const QUESTIONS: readonly Question[] = [
  {
    key: 'names',
    flags: '--names <server,client>',
    description: 'names of the two gateways, the one that is called first',
    default: 'server,client',
    check: names,
  },
  {
    key: 'serverEndpoint',
    flags: '--server-endpoint <host[:port]>',
    description: 'public address or name of the server gateway, and its UDP port',
    check: calledAt,
  },
  {
    key: 'serverSubnets',
    flags: '--server-subnets <cidrs>',
    description: 'CIDRs of the VPC behind the server, comma-separated',
    check: subnets,
  },
  {
    key: 'clientSubnets',
    flags: '--client-subnets <cidrs>',
    description: 'CIDRs of the VPC behind the client, comma-separated',
    check: subnets,
  },
  {
    key: 'overlay',
    flags: '--overlay <cidrs>',
    description: 'point-to-point network between the gateways: a /30, /31, /126 or /127, or one of each family',
    default: '10.8.0.0/30',
    check: (text) => partsOf(text).map((each) => overlayPair(cidr(each))),
  },
  {
    key: 'cipher',
    flags: '--cipher <cipher>',
    description: 'auto, aes-256-gcm or chacha20-poly1305',
    default: 'auto',
    check: cipher,
  },
];

interface InitOptions extends Readonly<Record<string, unknown>> {
  readonly dir: string;
  readonly yes?: true;
  readonly force?: true;
}

export function command(): Command {
  const init = new Command('init')
    .summary('write the configuration of both sides of a peering, or of one gateway')
    .description(
      'Makes a pre-shared key and writes the configuration files of the two gateways of a peering. ' +
        'Asks for what no option gives. With --name it writes the file of one gateway, for peerings that are requested ' +
        'and accepted while it runs, and asks nothing.',
    );
  for (const { flags, description, default: fallback } of QUESTIONS) {
    init.option(flags, fallback === undefined ? description : `${description} (default: ${fallback})`);
  }
  return init
    .option('--name <name>', 'one gateway alone, with this name')
    .option('--subnets <cidrs>', 'with --name: CIDRs of the VPC behind it, comma-separated')
    .option('--endpoint <host[:port]>', 'with --name: where others call it; left out where it only accepts')
    .option('--interface <name>', 'with --name: its TUN (default: ist0)')
    .option('--dir <directory>', 'where the files are written', '.')
    .option('-y, --yes', 'take the defaults and ask nothing')
    .option('-f, --force', 'replace files that are already there')
    .addHelpText(
      'after',
      `
Example:
  isthmus init --names ningxia,beijing --server-endpoint 203.0.113.7 \\
    --server-subnets 172.31.0.0/16 --client-subnets 192.168.0.0/16 --yes

writes ningxia.yaml, beijing.yaml and ningxia-beijing.psk, each readable by you alone.

  isthmus init --name ningxia --subnets 172.31.0.0/16 --endpoint 203.0.113.7

writes ningxia.yaml, for isthmus up and isthmus peering.`,
    )
    .action(writeBothSides);
}

async function writeBothSides(options: InitOptions & GatewayOptions): Promise<void> {
  if (options.name !== undefined) return writeGateway(options);
  const texts = await answer(options);
  const [server, client] = names(texts['names']);
  const answers: InitAnswers = {
    server: { name: server, subnets: subnets(texts['serverSubnets']) },
    client: { name: client, subnets: subnets(texts['clientSubnets']) },
    serverEndpoint: calledAt(texts['serverEndpoint']),
    overlay: partsOf(texts['overlay']).map((each) => overlayPair(cidr(each))),
    cipher: cipher(texts['cipher']),
    pskFile: `${server}-${client}.psk`,
  };
  const paths = {
    server: join(options.dir, `${server}.yaml`),
    client: join(options.dir, `${client}.yaml`),
    psk: join(options.dir, answers.pskFile),
  };
  const files = new Map([
    [paths.server, configurationText(answers, 'server')],
    [paths.client, configurationText(answers, 'client')],
    [paths.psk, `${encodeKey(nacl.randomBytes(32))}\n`],
  ]);
  const present = [...files.keys()].filter((path) => existsSync(path));
  if (present.length > 0 && !options.force) {
    const message = `${present.join(', ')} already there; nothing was written (--force replaces)`;
    throw new IsthmusError('ISTHMUS_FILE_EXISTS', message);
  }
  writePrivateFiles(files, options.force === true);
  process.stdout.write(nextSteps(answers, paths));
}

/** The text of every answer: from its option, else asked for, else the default. */
async function answer(options: InitOptions): Promise<Record<string, string>> {
  const answers: Record<string, string> = {};
  const open: Question[] = [];
  for (const question of QUESTIONS) {
    const given = options[question.key];
    if (typeof given === 'string') answers[question.key] = checked(question, given);
    else if (options.yes && question.default !== undefined) answers[question.key] = question.default;
    else open.push(question);
  }
  if (open.length === 0) return answers;
  if (options.yes) {
    const missing = open.map(({ flags }) => flags).join(', ');
    throw new IsthmusError('ISTHMUS_USAGE', `--yes leaves nothing to ask, and these have no default: ${missing}`);
  }
  return { ...answers, ...(await ask(open)) };
}

function checked(question: Question, text: string): string {
  readOption(question.flags, text, question.check);
  return text;
}

/** Puts the questions to standard error, one line each, until each has an answer that will do. */
async function ask(questions: readonly Question[]): Promise<Record<string, string>> {
  const answers = new Map<string, string>();
  const terminal = createInterface({ input: process.stdin });
  const lines = terminal[Symbol.asyncIterator]();
  try {
    for (const question of questions) {
      while (!answers.has(question.key)) {
        const fallback = question.default === undefined ? '' : ` [${question.default}]`;
        process.stderr.write(`${question.description}${fallback}: `);
        const line = await lines.next();
        if (line.done) {
          throw new IsthmusError('ISTHMUS_USAGE', `no more answers; ${question.flags} gives this one`);
        }
        const text = line.value.trim() || (question.default ?? '');
        try {
          answers.set(question.key, checked(question, text));
        } catch (error) {
          if (!(error instanceof IsthmusError)) throw error;
          process.stderr.write(`  ${error.message}\n`);
        }
      }
    }
  } finally {
    terminal.close();
  }
  return Object.fromEntries(answers);
}

function names(text: string): [server: string, client: string] {
  const both = partsOf(text).map(name);
  if (both.length === 2 && both[0] !== both[1]) return [both[0], both[1]];
  throw new IsthmusError('ISTHMUS_USAGE', 'wanted two different names with a comma between them');
}

function subnets(text: string): string[] {
  const prefixes = partsOf(text).map(cidr);
  if (prefixes.length > 0) return prefixes.map(formatPrefix);
  throw new IsthmusError('ISTHMUS_USAGE', 'wanted at least one CIDR such as 172.31.0.0/16');
}

function nextSteps({ server, client, serverEndpoint, pskFile }: InitAnswers, paths: Record<string, string>): string {
  return `wrote ${paths['server']}, ${paths['client']} and ${paths['psk']} (mode 0600)

Next, on ${server.name}:
  copy ${server.name}.yaml and ${pskFile} into one directory there, each with mode 0600
  let UDP port ${serverEndpoint.port} in from ${client.name} (on EC2: security group)
  isthmus check ${server.name}.yaml && sudo isthmus up ${server.name}.yaml

On ${client.name}:
  copy ${client.name}.yaml and ${pskFile} into one directory there, each with mode 0600
  isthmus check ${client.name}.yaml && sudo isthmus up ${client.name}.yaml

In each VPC, route the other's subnets to its gateway (on EC2: turn the source/destination check off, add routes):
  behind ${server.name}: ${client.subnets.join(', ')}
  behind ${client.name}: ${server.subnets.join(', ')}
`;
}
