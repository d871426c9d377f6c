import { Command } from 'commander';
import { packageVersion } from './version.ts';

/** `isthmus device`: a plain WireGuard device, which takes wireguard-go's arguments and environment. */
export function command(): Command {
  return (
    new Command('device')
      .summary('run a plain WireGuard device, as wireguard-go does')
      .description('Runs a plain WireGuard device, to be configured by wg: in the background, unless -f is given.')
      .usage('[-f|--foreground] INTERFACE-NAME')
      .argument('[arguments...]')
      // What wireguard-go makes of its arguments is not what Commander would.
      .passThroughOptions()
      .allowUnknownOption()
      .addHelpText(
        'after',
        `
LOG_LEVEL is verbose, error (if not set) or silent. It ends by SIGTERM, by
SIGINT, and when its interface or its socket under /var/run/wireguard is deleted.

Examples:
  isthmus device wg0 && wg setconf wg0 /etc/wireguard/wg0.conf && ip link set wg0 up
  LOG_LEVEL=verbose isthmus device -f wg0
  WG_QUICK_USERSPACE_IMPLEMENTATION=isthmus-device wg-quick up wg0`,
      )
      .action(async (argv: string[]) => {
        process.exitCode = await device(argv);
      })
  );
}

/** Runs with wireguard-go's arguments. Resolves with the exit code, for a device in the foreground when it has ended. */
export async function device(argv: readonly string[]): Promise<number> {
  if (argv.length === 1 && argv[0] === '--version') {
    process.stdout.write(
      `isthmus v${packageVersion()}\n\nUserspace WireGuard device for ${process.platform}-${process.arch}.\n`,
    );
    return 0;
  }
  const inForeground = argv[0] === '-f' || argv[0] === '--foreground';
  const names = inForeground ? argv.slice(1) : argv;
  if (names.length !== 1 || names[0].startsWith('-')) {
    process.stdout.write('Usage: isthmus device [-f/--foreground] INTERFACE-NAME\n');
    return 0;
  }
  const { runDevice } = await import('./device-process.ts');
  return runDevice(names[0], inForeground || process.env['WG_PROCESS_FOREGROUND'] === '1');
}
