/** The command line as a whole: its commands, each in a file of its own. */
import { Command } from 'commander';
import { packageVersion } from './version.ts';

/** A command is loaded when it is asked for, so that making a key needs nothing of what a gateway needs. */
const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  init: async () => (await import('./init.ts')).command(),
  peering: async () => (await import('./peering.ts')).command(),
  audit: async () => (await import('./audit.ts')).command(),
  check: async () => (await import('./check.ts')).command(),
  up: async () => (await import('./up.ts')).command(),
  status: async () => (await import('./status.ts')).command(),
  rules: async () => (await import('./rules.ts')).command(),
  reload: async () => (await import('./reload.ts')).command(),
  doctor: async () => (await import('./doctor.ts')).command(),
  trace: async () => (await import('./trace.ts')).command(),
  routes: async () => (await import('./routes.ts')).command(),
  flows: async () => (await import('./flows.ts')).command(),
  'export-wg': async () => (await import('./export-wg.ts')).command(),
  genpsk: async () => (await import('./keys.ts')).genpsk(),
  genkey: async () => (await import('./keys.ts')).genkey(),
  pubkey: async () => (await import('./keys.ts')).pubkey(),
  device: async () => (await import('./device.ts')).command(),
};

/** The whole command line, or, where `name` is one of the commands, as much of it as that needs. */
export async function createProgram(name = ''): Promise<Command> {
  const loaders = Object.hasOwn(COMMANDS, name) ? [COMMANDS[name]] : Object.values(COMMANDS);
  const program = new Command('isthmus')
    .description('Joins VPCs: one pre-shared key per peering, WireGuard on the wire, routing and access lists inside.')
    .version(packageVersion())
    .enablePositionalOptions()
    .showHelpAfterError('(isthmus --help says more)')
    .configureOutput({ outputError: (text, write) => write(text.replace('\n', ' (ISTHMUS_USAGE)\n')) })
    .addHelpText(
      'after',
      `
To join two VPCs, on the gateway that can be called:
  isthmus init --name ningxia --subnets 172.31.0.0/16 --endpoint 203.0.113.7
  sudo isthmus up ningxia.yaml        (the rest in a second terminal)
  (umask 077; sudo isthmus peering request beijing --acl peers > invitation)

and on the other one, with the invitation:
  isthmus init --name beijing --subnets 192.168.0.0/16
  sudo isthmus up beijing.yaml        (the rest in a second terminal)
  sudo isthmus peering accept --acl peers < invitation

If something is wrong: sudo isthmus doctor. Every command has --help.`,
    );
  for (const command of await Promise.all(loaders.map((load) => load()))) program.addCommand(inherit(command, program));
  return program.exitOverride();
}

/** Commands made apart do not take the program's settings by themselves. */
function inherit(command: Command, program: Command): Command {
  for (const part of command.commands) inherit(part, program);
  return command.copyInheritedSettings(program).exitOverride();
}
