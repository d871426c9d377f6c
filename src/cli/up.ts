import { once } from 'node:events';
import { constants } from 'node:os';
import { setFlagsFromString } from 'node:v8';
import { Command } from 'commander';
import { pino, type Logger } from 'pino';
import { serveApi } from '../control/api.ts';
import { loadConfig } from '../control/config.ts';
import { openUapi, serveUapi, uapiPath, type UapiListener } from '../control/uapi-socket.ts';
import type { GatewayConfig, MetricsListen } from '../gateway/config.ts';
import type { ConfigurableDevice } from '../gateway/device-state.ts';
import type { Change } from '../gateway/difference.ts';
import { IsthmusError } from '../gateway/errors.ts';
import { Gateway, RUN_FOLDER } from '../gateway/gateway.ts';
import type { Log } from '../gateway/tunnel.ts';
import { listenUnix } from '../nic/native.ts';
import { FlowLogs } from '../observe/flow-logs.ts';
import { MetricsServer } from '../observe/metrics-server.ts';
import { packageVersion } from './version.ts';

export function command(): Command {
  return new Command('up')
    .summary('run a gateway')
    .description(
      'Runs the gateway of a configuration file in the foreground, as systemd wants it: creates the interface, its ' +
        'addresses and routes, switches forwarding on, and takes everything back when it ends. Needs root, or ' +
        'CAP_NET_ADMIN.\n\nSIGTERM and SIGINT end it; SIGHUP reads the file again and changes what is different.',
    )
    .argument('<file>', 'configuration file')
    .option('--log-level <level>', 'debug, info, warn or error, whatever the file says')
    .option('--pcap <file>', 'write every packet of the overlay, before it is judged, to a pcap file (slow)')
    .addHelpText(
      'after',
      '\nExamples:\n  isthmus up /etc/isthmus/gateway.yaml\n  isthmus up gateway.yaml --log-level debug --pcap /tmp/overlay.pcap',
    )
    .action(up);
}

/**
 * V8 compacts the heap of a process that has become quiet: 10 to 30 ms without an answer, for memory that a gateway needs
 * again at once. It does so by incremental marking; its own switch, `--no-memory-reducer`, comes too late at run time.
 */
setFlagsFromString('--no-incremental-marking');

async function up(file: string, options: { logLevel?: string; pcap?: string }): Promise<void> {
  const log = pino({ level: options.logLevel ?? 'info', base: null, timestamp: pino.stdTimeFunctions.isoTime });
  const config = loadConfig(file, process.env);
  log.level = options.logLevel ?? config.logLevel;
  // From here on a signal ends it in order, also while it starts.
  const stopped = Promise.race([once(process, 'SIGTERM'), once(process, 'SIGINT')]);
  process.on('SIGHUP', () => undefined);
  const flowLogs = new FlowLogs(
    (text) => log.warn(text),
    () => performance.now(),
  );
  const gateway = await Gateway.start(config, { log, capture: options.pcap ?? '', flowLogs });
  try {
    await run(gateway, file, config, stopped, log, options.logLevel);
  } finally {
    await gateway.close();
  }
  log.info('closed');
}

/** Serves the gateway's sockets and obeys signals until it ends. Throws if it ended by a fault, or a socket can't be made. */
async function run(
  gateway: Gateway,
  file: string,
  config: GatewayConfig,
  stopped: Promise<unknown>,
  log: Logger,
  level: string | undefined,
): Promise<void> {
  const name = config.interface;
  const metrics = new MetricsServer({ status: () => gateway.status(), version: packageVersion() });
  const reload = async (dryRun: boolean): Promise<readonly Change[]> => {
    const next = loadConfig(file, process.env);
    if (dryRun) return gateway.difference(next);
    const moved = await metricsAt(metrics, next.metrics);
    try {
      const changes = await gateway.reload(next);
      moved.commit();
      log.level = level ?? next.logLevel;
      return changes;
    } catch (error) {
      moved.cancel();
      throw error;
    }
  };
  const apiPath = `${RUN_FOLDER}/${name}.sock`;
  const api = await made(
    apiPath,
    serveApi(apiPath, {
      status: () => gateway.status(),
      rules: () => gateway.status().rules,
      routes: () => gateway.routes(),
      flows: (query) => gateway.flows(query),
      reload,
      trace: (query) => gateway.trace(query),
      follow: (query) => gateway.follow(query),
    }),
  );
  let uapi: UapiListener | undefined;
  try {
    (await metricsAt(metrics, config.metrics)).commit();
    uapi = await made(uapiPath(name), listenUapi(gateway, name, log));
    process.on('SIGHUP', () => {
      reload(false).catch((error: unknown) => log.error(`not reloaded, nothing changed: ${(error as Error).message}`));
    });
    const { gateway: title, port } = gateway.status();
    log.info(`gateway ${title} is up: ${name}, UDP port ${port}`);
    const ending = await Promise.race([gateway.ended, stopped.then(() => ({ reason: 'closed' }) as const)]);
    if (ending.reason === 'deleted') throw new IsthmusError('ISTHMUS_TUN', `the interface ${name} was deleted`);
    if (ending.reason === 'failed') throw new IsthmusError('ISTHMUS_DATA_PLANE', ending.error.message);
  } finally {
    api.close();
    api.closeAllConnections();
    uapi?.close();
    metrics.close();
  }
}

async function listenUapi(gateway: Gateway, name: string, log: Log): Promise<UapiListener> {
  const fd = await openUapi(name, listenUnix);
  return serveUapi({ fd, path: uapiPath(name), device: readOnly(gateway), log });
}

/** Makes ready to serve metrics there, if anywhere. */
function metricsAt(server: MetricsServer, listen: MetricsListen | undefined): ReturnType<MetricsServer['prepare']> {
  return made(listen === undefined ? 'nothing' : `${listen.address}, TCP port ${listen.port}`, server.prepare(listen));
}

async function made<T>(path: string, socket: Promise<T>): Promise<T> {
  try {
    return await socket;
  } catch (error) {
    throw new IsthmusError('ISTHMUS_SOCKET', `cannot listen on ${path}: ${(error as Error).message}`);
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
