import { Command } from 'commander';
import { IsthmusError } from '../gateway/errors.ts';
import type { RoutesStatus } from '../gateway/status.ts';
import { formatRoutes } from '../observe/routes-text.ts';
import { parsePrefix } from '../routing/prefix.ts';
import type { Prefix } from '../routing/prefix.ts';
import { matchingRoutes } from '../routing/route-table.ts';
import { askGateway } from './ask.ts';

export function command(): Command {
  return new Command('routes')
    .summary('show the route tables of a running gateway')
    .description(
      'Shows every route table of a running gateway: the attachments whose packets are looked up in it, and its routes ' +
        'with where they come from, where they lead, and whether they count. A hidden route counts again when the one ' +
        'of the same prefix that comes first goes.',
    )
    .argument('[interface]', 'which gateway; may be left out where one runs')
    .option('--table <name>', 'this table only')
    .option('--address <address>', 'only routes that hold the address, the one that a packet takes first')
    .option('--json', 'print JSON, for scripts')
    .addHelpText(
      'after',
      '\nExamples:\n  isthmus routes\n  isthmus routes --table spokes --address 10.2.0.9\n' +
        '  isthmus routes --json | jq ".tables[].routes[] | select(.state == \\"blackhole\\")"',
    )
    .action(routes);
}

async function routes(
  name: string | undefined,
  options: { table?: string; address?: string; json?: true },
): Promise<void> {
  const address = options.address === undefined ? undefined : addressOf(options.address);
  const all = (await askGateway(name, 'GET', '/v1/routes')) as RoutesStatus;
  const wanted = selectRoutes(all, options.table, address);
  process.stdout.write(options.json ? `${JSON.stringify(wanted, null, 2)}\n` : formatRoutes(wanted));
}

/** The part that was asked for. Throws an `IsthmusError` if there is no such table. */
function selectRoutes(all: RoutesStatus, table: string | undefined, address: Prefix | undefined): RoutesStatus {
  const tables = all.tables.filter(({ name }) => table === undefined || name === table);
  if (tables.length === 0) {
    const names = all.tables.map(({ name }) => name).join(', ');
    throw new IsthmusError('ISTHMUS_USAGE', `there is no route table ${table}; wanted one of ${names}`);
  }
  if (address === undefined) return { ...all, tables };
  return { ...all, tables: tables.map((each) => ({ ...each, routes: matchingStatus(each.routes, address) })) };
}

function matchingStatus(all: RoutesStatus['tables'][number]['routes'], address: Prefix): typeof all {
  return matchingRoutes(
    all.map((status) => ({ status, prefix: parsePrefix(status.destination) })),
    address,
  ).map(({ status }) => status);
}

function addressOf(text: string): Prefix {
  try {
    const prefix = parsePrefix(text);
    if (prefix.bits === (prefix.family === 4 ? 32 : 128)) return prefix;
  } catch {
    // Said below.
  }
  throw new IsthmusError('ISTHMUS_USAGE', `--address ${text} is no address; wanted one such as 10.2.0.9`);
}
