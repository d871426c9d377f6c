import { Command } from 'commander';
import { formatFault, readConfig } from '../control/config.ts';
import type { GatewayConfig } from '../gateway/config.ts';
import { EXIT } from '../gateway/errors.ts';

export function command(): Command {
  return new Command('check')
    .summary('check a configuration file')
    .description(
      'Reads a configuration and the secrets it names, and prints every fault with its place and what is wanted there. ' +
        `Changes nothing. Exit code 0, or ${EXIT.config} if there is a fault.`,
    )
    .argument('<file>', 'configuration file')
    .option('--json', 'print the result as JSON to standard output')
    .addHelpText(
      'after',
      '\nExamples:\n  isthmus check /etc/isthmus/gateway.yaml\n  isthmus check --json gateway.yaml | jq .faults',
    )
    .action(check);
}

function check(file: string, options: { json?: true }): void {
  const result = readConfig(file, process.env);
  const faults = 'faults' in result ? result.faults : [];
  if (options.json) {
    process.stdout.write(`${JSON.stringify({ file, ok: faults.length === 0, faults }, null, 2)}\n`);
  } else if ('config' in result) {
    process.stdout.write(`${file}: ${summary(result.config)}\n`);
  } else {
    for (const fault of faults) process.stderr.write(`${formatFault(fault)}\n`);
  }
  if (faults.length > 0) process.exitCode = EXIT.config;
}

function summary({ name, interface: device, peerings, acls }: GatewayConfig): string {
  const rules = acls.reduce((sum, acl) => sum + acl.rules.length, 0);
  const closed = peerings.filter((peering) => peering.acl < 0).map((peering) => peering.name);
  const note = closed.length === 0 ? '' : `; no acl, so nothing passes: ${closed.join(', ')}`;
  return `good: gateway ${name} on ${device}, peerings: ${peerings.length}, rules: ${rules}${note}`;
}
