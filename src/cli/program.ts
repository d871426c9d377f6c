/** The command line as a whole: its commands, each in a file of its own. */
import { Command } from 'commander';
import { packageVersion } from './version.ts';

/** A command is loaded when it is asked for, so that making a key needs nothing of what a gateway needs. */
const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  up: async () => (await import('./up.ts')).command(),
  trace: async () => (await import('./trace.ts')).command(),
  flows: async () => (await import('./flows.ts')).command(),
  doctor: async () => (await import('./doctor.ts')).command(),
  reload: async () => (await import('./reload.ts')).command(),
  status: async () => (await import('./status.ts')).command(),
  rules: async () => (await import('./rules.ts')).command(),
  routes: async () => (await import('./routes.ts')).command(),
  peering: async () => (await import('./peering.ts')).command(),
  audit: async () => (await import('./audit.ts')).command(),
  device: async () => (await import('./device.ts')).command(),
  init: async () => (await import('./init.ts')).command(),
  check: async () => (await import('./check.ts')).command(),
  genpsk: async () => (await import('./keys.ts')).genpsk(),
  genkey: async () => (await import('./keys.ts')).genkey(),
  pubkey: async () => (await import('./keys.ts')).pubkey(),
  'export-wg': async () => (await import('./export-wg.ts')).command(),
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
To join two VPCs:
  isthmus init       writes the configuration of both sides and their key
  isthmus check      says whether a configuration is good
  isthmus up         runs the gateway of a configuration
  isthmus status     shows a running gateway
  isthmus doctor     finds and explains what is wrong
  isthmus flows      shows who uses it most
  isthmus reload     has it take up its changed configuration
  isthmus rules      shows its rules with their hits
  isthmus routes     shows its route tables
  isthmus peering    requests, accepts and deletes peerings while it runs
  isthmus audit      shows who did so
  isthmus export-wg  writes the file with which a stock WireGuard takes one of the sides`,
    );
  for (const command of await Promise.all(loaders.map((load) => load()))) program.addCommand(inherit(command, program));
  return program.exitOverride();
}

/** Commands made apart do not take the program's settings by themselves. */
function inherit(command: Command, program: Command): Command {
  for (const part of command.commands) inherit(part, program);
  return command.copyInheritedSettings(program).exitOverride();
}
