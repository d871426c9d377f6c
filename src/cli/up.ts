import { constants } from 'node:os';
import { Command } from 'commander';
import { pino } from 'pino';
import { serveApi } from '../control/api.ts';
import { formatFault, loadConfig, readConfig } from '../control/config.ts';
import { openUapi, serveUapi, uapiPath } from '../control/uapi-socket.ts';
import type { ConfigurableDevice } from '../gateway/device-state.ts';
import { IsthmusError } from '../gateway/errors.ts';
import { Gateway, RUN_FOLDER } from '../gateway/gateway.ts';
import { listenUnix } from '../nic/native.ts';

export function command(): Command {
  return new Command('up')
    .summary('run a gateway')
    .description(
      'Runs the gateway of a configuration file in the foreground, as systemd wants it: creates the interface, its ' +
        'addresses and routes, switches forwarding on, and takes everything back when it ends. Needs root, or ' +
        'CAP_NET_ADMIN.\n\nSIGTERM and SIGINT end it; SIGHUP reads the file again and changes what is different.',
    )
    .argument('<file>', 'configuration file')
    .option('--log-level <level>', 'debug, info, warn or error', 'info')
    .option('--pcap <file>', 'write every packet of the overlay, before it is judged, to a pcap file (slow)')
    .addHelpText(
      'after',
      '\nExamples:\n  isthmus up /etc/isthmus/gateway.yaml\n  isthmus up gateway.yaml --log-level debug --pcap /tmp/overlay.pcap',
    )
    .action(up);
}

async function up(file: string, options: { logLevel: string; pcap?: string }): Promise<void> {
  const log = pino({ level: options.logLevel, base: null, timestamp: pino.stdTimeFunctions.isoTime });
  const config = loadConfig(file, process.env);
  const gateway = await Gateway.start(config, { log, capture: options.pcap ?? '' });

  const reload = async (): Promise<void> => {
    const result = readConfig(file, process.env);
    if ('config' in result) return gateway.reload(result.config);
    throw new IsthmusError('ISTHMUS_RELOAD', result.faults.map(formatFault).join('\n'));
  };
  const api = await serveApi(`${RUN_FOLDER}/${config.interface}.sock`, { status: () => gateway.status(), reload });
  const uapi = await serveUapi({
    fd: await openUapi(config.interface, listenUnix),
    path: uapiPath(config.interface),
    device: readOnly(gateway),
    log,
  });

  process.on('SIGHUP', () => {
    reload().catch((error: unknown) => log.error(`not reloaded, nothing changed: ${(error as Error).message}`));
  });
  const stop = (): void => void gateway.close();
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);

  const ending = await gateway.ended;
  api.close();
  api.closeAllConnections();
  uapi.close();
  await gateway.close();
  switch (ending.reason) {
    case 'closed':
      return log.info('closed');
    case 'deleted':
      throw new IsthmusError('ISTHMUS_TUN', `the interface ${config.interface} was deleted`);
    case 'failed':
      throw new IsthmusError('ISTHMUS_DATA_PLANE', ending.error.message);
  }
}

/** WireGuard's tools may look at a gateway; it is changed by its file. */
function readOnly(gateway: Gateway): ConfigurableDevice {
  return {
    state: () => gateway.deviceState(),
    configure: () => {
      throw Object.assign(new Error('a gateway is changed by its configuration file'), {
        errno: constants.errno.EPERM,
      });
    },
  };
}
