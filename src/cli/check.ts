import { Command } from 'commander';
import { formatFault, readConfig } from '../control/config.ts';
import type { GatewayConfig, PeeringConfig } from '../gateway/config.ts';
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

function summary({ name, interface: device, peerings, localGroups, ...filters }: GatewayConfig): string {
  const both = [...filters.securityGroups, ...filters.networkAcls].flatMap(({ ingress, egress }) => [
    ...ingress,
    ...egress,
  ]);
  const rules = filters.acls.reduce((sum, acl) => sum + acl.rules.length, both.length);
  const isOpen = ({ acl, groups }: PeeringConfig) => acl >= 0 || groups.length > 0 || localGroups.length > 0;
  const closed = peerings.filter((peering) => !isOpen(peering)).map((peering) => peering.name);
  const note = closed.length === 0 ? '' : `; no acl and no security group, so nothing passes: ${closed.join(', ')}`;
  return `good: gateway ${name} on ${device}, peerings: ${peerings.length}, rules: ${rules}${note}`;
}
