import { existsSync } from 'node:fs';
import { Command } from 'commander';
import { callApi, type AboutAnswer, type ReloadAnswer } from '../control/api.ts';
import { readConfig, type Fault } from '../control/config.ts';
import type { PeeringsAnswer } from '../control/peering-calls.ts';
import type { Context, Running } from '../doctor/context.ts';
import { examine } from '../doctor/examine.ts';
import { gather } from '../doctor/gather.ts';
import { formatReport } from '../doctor/report.ts';
import { withListed } from '../gateway/peering-config.ts';
import type { GatewayConfig } from '../gateway/config.ts';
import { EXIT } from '../gateway/errors.ts';
import { RUN_FOLDER } from '../gateway/host.ts';
import type { GatewayStatus } from '../gateway/status.ts';
import { askGateway } from './ask.ts';

/** A gateway answers within some ms; one that does not for so long stands still. */
const PATIENCE = 3000;

interface Options {
  readonly json?: true;
  readonly verbose?: true;
}

export function command(): Command {
  return new Command('doctor')
    .summary('find and explain what is wrong')
    .description(
      'Looks at the host, its network, the firewall, the running gateway, the way to each peer and, on EC2, the VPC, and ' +
        'says what is wrong, why it matters and which command mends it; the fault that explains others comes first. ' +
        'Before a start it looks at what would be in the way. It changes nothing. To a peer without a session it sends ' +
        'one empty datagram, and echo requests to each.\n\n' +
        `Exit code 0: nothing is wrong; ${EXIT.failure}: there are faults; ${EXIT.config}: the file has faults.`,
    )
    .argument('[file]', 'configuration file; may be left out where one gateway runs')
    .option('-v, --verbose', 'show the checks that found nothing wrong, too')
    .option('--json', 'print JSON, for scripts')
    .addHelpText(
      'after',
      '\nExamples:\n  sudo isthmus doctor /etc/isthmus/gateway.yaml\n  sudo isthmus doctor -v\n' +
        `  sudo isthmus doctor --json | jq '.findings[] | select(.severity == "fault") | .id'\n\n` +
        'Run it at both ends: a gateway is silent to whom it does not know, so the one\nthat is called knows more.\n' +
        'docs/troubleshooting.md describes every check.',
    )
    .action(doctor);
}

async function doctor(given: string | undefined, { json, verbose }: Options): Promise<void> {
  const file = given ?? ((await askGateway(undefined, 'GET', '/v1/about')) as AboutAnswer).file;
  const result = readConfig(file, process.env);
  const filed = 'config' in result ? result.config : undefined;
  const running: Running = filed === undefined ? { kind: 'no' } : await ask(filed);
  const config = filed && running.kind === 'yes' ? withListed(filed, await listed(filed)) : filed;
  const context = await gather({
    ...{ file, config, running },
    configFaults: 'faults' in result ? result.faults.map(placed) : [],
  });
  const findings = examine(context);
  const worst = findings[0]?.severity === 'fault' ? EXIT.failure : 0;
  process.exitCode = config === undefined ? EXIT.config : worst;
  process.stdout.write(
    json
      ? `${JSON.stringify({ file, running: context.running.kind === 'yes', findings }, null, 2)}\n`
      : formatReport(subjectOf(context), findings, verbose === true),
  );
}

function subjectOf({ file, config, running }: Context): string {
  if (config === undefined) return file;
  return `gateway ${config.name} on ${config.interface}, ${running.kind === 'yes' ? 'running' : 'not running'}; ${file}`;
}

function placed({ file, line, column, path, message, code }: Fault): Context['configFaults'][number] {
  const place = `${file}:${line}:${column}`;
  return { place, message: `${place}: ${path === '' ? '' : `${path}: `}${message}`, code };
}

/** The gateway of this configuration, as it answers on its socket. */
async function ask({ interface: name }: GatewayConfig): Promise<Running> {
  const path = `${RUN_FOLDER}/${name}.sock`;
  if (!existsSync(path)) return { kind: 'no' };
  try {
    const { body } = await callApi(path, 'GET', '/v1/status', PATIENCE);
    const reload = await callApi(path, 'POST', '/v1/reload?dry_run=true', PATIENCE);
    const changes =
      reload.status === 200 ? (reload.body as ReloadAnswer).changes : (reload.body as { message: string }).message;
    return { kind: 'yes', status: body as GatewayStatus, changes };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EACCES') return { kind: 'forbidden', path };
    return { kind: code === 'ETIMEDOUT' ? 'stuck' : 'stale', path };
  }
}

/** Its peerings, of the file and requested. */
async function listed({ interface: name }: GatewayConfig): Promise<PeeringsAnswer['peerings']> {
  const { body } = await callApi(`${RUN_FOLDER}/${name}.sock`, 'GET', '/v1/peerings', PATIENCE);
  return (body as PeeringsAnswer).peerings;
}
