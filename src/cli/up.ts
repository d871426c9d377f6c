import { once } from 'node:events';
import { constants } from 'node:os';
import { resolve } from 'node:path';
import { Command, Option } from 'commander';
import type { Logger } from 'pino';
import { answerCall, serveApi } from '../control/api.ts';
import type { ApiAnswer, ApiTarget } from '../control/api.ts';
import { loadConfig } from '../control/config.ts';
import { openUapi, serveUapi, uapiPath, type UapiListener } from '../control/uapi-socket.ts';
import type { GatewayConfig, MetricsConfig } from '../gateway/config.ts';
import type { ConfigurableDevice } from '../gateway/device-state.ts';
import type { Change } from '../gateway/difference.ts';
import { IsthmusError } from '../gateway/errors.ts';
import { Events } from '../gateway/events.ts';
import { Gateway } from '../gateway/gateway.ts';
import { RUN_FOLDER } from '../gateway/host.ts';
import type { Log } from '../gateway/tunnel.ts';
import { listenUnix } from '../nic/native.ts';
import { FlowLogs } from '../observe/flow-logs.ts';
import { MetricsServer } from '../observe/metrics-server.ts';
import { StatusPage } from '../observe/page-server.ts';
import { Peerings } from '../gateway/peerings.ts';
import { createLog, type LogFormat } from './log.ts';
import { statePath } from './state.ts';
import { statusLine, Supervisor } from './supervisor.ts';
import { packageVersion } from './version.ts';

interface UpOptions {
  readonly logLevel?: string;
  readonly logFormat?: LogFormat;
  readonly pcap?: string;
  readonly keep?: true;
  readonly stateDir?: string;
}

export function command(): Command {
  return new Command('up')
    .summary('run a gateway')
    .description(
      'Runs the gateway of a configuration file in the foreground, as systemd wants it: creates the interface, its ' +
        'addresses and routes, switches forwarding on, and takes everything back when it ends. Needs root, or ' +
        'CAP_NET_ADMIN.\n\nSIGTERM and SIGINT end it; SIGHUP reads the file again and changes what is different. Under ' +
        'systemd it says when it is ready, reloads and fares well (Type=notify, WatchdogSec=).',
    )
    .argument('<file>', 'configuration file')
    .option('--log-level <level>', 'debug, info, warn or error, whatever the file says')
    .addOption(
      new Option('--log-format <format>', "default: journal where systemd's journal reads it").choices([
        'json',
        'journal',
      ]),
    )
    .option(
      '--state-dir <directory>',
      'where requested peerings are kept (default: STATE_DIRECTORY, or /var/lib/isthmus)',
    )
    .option('--pcap <file>', 'write every packet of the overlay, before it is judged, to a pcap file (slow)')
    .option('--keep', 'have systemd keep the interface over a restart (FileDescriptorStoreMax=)')
    .addHelpText(
      'after',
      '\nExamples:\n  isthmus up /etc/isthmus/gateway.yaml\n  isthmus up gateway.yaml --log-level debug --pcap /tmp/overlay.pcap',
    )
    .action(up);
}

async function up(file: string, options: UpOptions): Promise<void> {
  const supervisor = new Supervisor(process.env, process.pid);
  const log = createLog(options.logLevel ?? 'info', options.logFormat);
  const config = loadConfig(file, process.env);
  log.level = options.logLevel ?? config.logLevel;
  // From here on a signal ends it in order, also while it starts.
  const stopped = Promise.race([once(process, 'SIGTERM'), once(process, 'SIGINT')]);
  process.on('SIGHUP', () => undefined);
  const events = new Events(() => Date.now());
  const noted = events.noting(log);
  const flowLogs = new FlowLogs(
    (text) => noted.warn(text),
    () => performance.now(),
  );
  const name = `tun-${config.interface}`;
  const descriptor = supervisor.takeDescriptor(name);
  const handover = { descriptor, keep: (fd: number) => supervisor.keepDescriptor(name, fd) };
  const capture = options.pcap ?? '';
  const peerings = new Peerings(statePath(config.name, options.stateDir), config, noted, () => Date.now());
  try {
    const gateway = await Gateway.start(peerings.config, {
      log: noted,
      capture,
      flowLogs,
      handover: options.keep && handover,
      hear: (peering, payload) => peerings.hear(peering, payload),
    });
    try {
      peerings.attach(gateway);
      await run({ gateway, peerings, file, config, stopped, log, level: options.logLevel, supervisor, events });
    } finally {
      supervisor.stopping();
      await gateway.close();
    }
  } finally {
    peerings.close();
  }
  log.info('closed');
}

interface Run {
  readonly gateway: Gateway;
  readonly peerings: Peerings;
  readonly file: string;
  readonly config: GatewayConfig;
  readonly stopped: Promise<unknown>;
  readonly log: Logger;
  /** The level that was asked for, whatever the file says. */
  readonly level: string | undefined;
  readonly supervisor: Supervisor;
  readonly events: Events;
}

/** How often it is looked for sessions that began or ended, in ms. */
const LOOK = 1000;

/** Serves the gateway's sockets and obeys signals until it ends. Throws if it ended by a fault, or a socket can't be made. */
async function run({ gateway, peerings, file, config, stopped, log, level, supervisor, events }: Run): Promise<void> {
  const name = config.interface;
  const metrics = new MetricsServer({ status: () => gateway.status(), version: packageVersion() });
  const change = async (next: GatewayConfig): Promise<readonly Change[]> => {
    const moved = await metricsAt(metrics, next.metrics, target);
    try {
      const changes = await peerings.reload(next);
      moved.commit();
      log.level = level ?? next.logLevel;
      return changes;
    } catch (error) {
      moved.cancel();
      throw error;
    }
  };
  const reload = async (dryRun: boolean): Promise<readonly Change[]> => {
    if (dryRun) return gateway.difference(peerings.with(loadConfig(file, process.env)));
    supervisor.reloading();
    try {
      return await change(loadConfig(file, process.env));
    } catch (error) {
      events.add('error', `not reloaded, nothing changed: ${(error as Error).message}`);
      throw error;
    } finally {
      supervisor.ready();
    }
  };
  const target: ApiTarget = {
    about: () => ({ version: packageVersion(), pid: process.pid, file: resolve(file) }),
    status: () => gateway.status(),
    rules: () => gateway.status().rules,
    routes: () => gateway.routes(),
    flows: (query) => gateway.flows(query),
    events: (after) => events.after(after),
    reload,
    trace: (query) => gateway.trace(query),
    follow: (query) => gateway.follow(query),
    peerings,
  };
  const apiPath = `${RUN_FOLDER}/${name}.sock`;
  const api = await made(apiPath, serveApi(apiPath, target));
  const looking = setInterval(() => events.see(gateway.peers()), LOOK);
  let uapi: UapiListener | undefined;
  try {
    (await metricsAt(metrics, config.metrics, target)).commit();
    uapi = await made(uapiPath(name), listenUapi(gateway, name, log));
    process.on('SIGHUP', () => {
      reload(false).catch((error: unknown) => log.error(`not reloaded, nothing changed: ${(error as Error).message}`));
    });
    const { gateway: title, port } = gateway.status();
    log.info(`gateway ${title} is up: ${name}, UDP port ${port}`);
    supervisor.ready();
    supervisor.follow(
      () => statusLine(gateway.status()),
      () => gateway.tunnel.isAlive(),
    );
    const ending = await Promise.race([gateway.ended, stopped.then(() => ({ reason: 'closed' }) as const)]);
    if (ending.reason === 'deleted') throw new IsthmusError('ISTHMUS_TUN', `the interface ${name} was deleted`);
    if (ending.reason === 'failed') throw new IsthmusError('ISTHMUS_DATA_PLANE', ending.error.message);
  } finally {
    clearInterval(looking);
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

/** Makes ready to serve metrics, and the status page, as the configuration says, if at all. */
function metricsAt(
  server: MetricsServer,
  metrics: MetricsConfig | undefined,
  target: ApiTarget,
): ReturnType<MetricsServer['prepare']> {
  if (metrics === undefined) return server.prepare(undefined);
  const { listen, hosts, token } = metrics;
  const call = (method: string, url: string): Promise<ApiAnswer> => answerCall(target, method, url);
  const options = { call, version: packageVersion(), hosts, token, clock: () => performance.now() };
  const page = metrics.page ? new StatusPage(options) : undefined;
  return made(`${listen.address}, TCP port ${listen.port}`, server.prepare(listen, page));
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
