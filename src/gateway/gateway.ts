/** The composition root: a configuration becomes a running gateway, and a new configuration changes it by difference. */
import { randomInt } from 'node:crypto';
import { lookup } from 'node:dns/promises';
import { existsSync, readdirSync } from 'node:fs';
import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import { createCapture } from '../nic/capture.ts';
import { aeadLibrary, bootTime, openTun } from '../nic/native.ts';
import { FlowTable, createFlowTable } from '../policy/flow-table.ts';
import type { FlowTableData } from '../policy/flow-table.ts';
import { buildPrefixTable } from '../routing/prefix-table.ts';
import { formatPrefix } from '../routing/prefix.ts';
import { singleTable } from '../routing/routing.ts';
import { timing } from '../session/constants.ts';
import type { Credential } from '../session/identities.ts';
import type { Peer } from '../session/peer.ts';
import { addressWords, endpointFrom, formatEndpoint } from '../wire/endpoint.ts';
import type { GatewayConfig, Listen, PeeringConfig } from './config.ts';
import { credentialOf, credentialsOf, sameIdentity, sameKeys } from './credentials.ts';
import type { DeviceState } from './device-state.ts';
import { difference } from './difference.ts';
import type { Change } from './difference.ts';
import { IsthmusError } from './errors.ts';
import type { FlowQuery, FlowsAnswer } from './flow-top.ts';
import { FlowWatch } from './flow-watch.ts';
import type { FlowSink } from './flow-watch.ts';
import { adoptInterface, leaveFlows, presentLink, takeFlows } from './handover.ts';
import { LastSeen } from './last-seen.ts';
import type { Sighting } from './last-seen.ts';
import { Explainer } from '../dataplane/explain.ts';
import { Live } from './live.ts';
import type { LiveEnd, LiveStep } from './live.ts';
import { changeLink } from './link.ts';
import type { LinkState } from './link.ts';
import { automaticMtu, changeRoutes, configureLink, enableForwarding } from './network.ts';
import { Learning } from './learning.ts';
import { Paths } from './paths.ts';
import { answeringAddresses, compileRouting, kernelRoutes, routesStatus } from './routing.ts';
import { Rules } from './rules.ts';
import { Shapes } from './shaping.ts';
import type { GatewayStatus, PeerStatus, RoutesStatus } from './status.ts';
import { readQuestion, ruleText, trace } from './trace.ts';
import type { TraceAnswer } from './trace.ts';
import { Tunnel } from './tunnel.ts';
import type { Ending, Log } from './tunnel.ts';
import { flowsStatus } from './vitals.ts';

/** Sockets and what is remembered across restarts. */
export const RUN_FOLDER = '/run/isthmus';

/** How often names are resolved again for peers that don't answer, and where peers are is written down, in ms. */
const HOUSEKEEPING = 250;
const RESOLVE_AGAIN = 30_000;
/** A peer whose last handshake is older than this is unreachable. */
const SESSION_LIFE = 180_000;

interface Peering {
  config: PeeringConfig;
  readonly peer: Peer;
  resolvedAt: number;
}

export interface GatewayOptions {
  readonly log: Log;
  /** A pcap file for the packets of the overlay, or empty. */
  readonly capture: string;
  /** Takes what is to be written of flows. */
  readonly flowLogs: FlowSink;
  /** Where the process has a supervisor that keeps the interface for the next one. */
  readonly handover?: Handover | undefined;
}

export interface Handover {
  /** The interface that was kept; undefined: there is none. */
  readonly descriptor: number | undefined;
  /** Has the interface kept. */
  readonly keep: (descriptor: number) => void;
}

export class Gateway {
  readonly tunnel: Tunnel;
  readonly #log: Log;
  readonly #startedAt = Date.now();
  readonly #peerings = new Map<string, Peering>();
  readonly #lastSeen: LastSeen;
  readonly #flows: FlowTableData;
  readonly #paths: Paths;
  readonly #shapes: Shapes;
  readonly #live = new Live();
  readonly #flowWatch: FlowWatch;
  readonly #learning: Learning;
  #routing = singleTable(buildPrefixTable([]), 0);
  #config: GatewayConfig;
  #rules: Rules;
  /** Whether interface and flows are left to the next process. */
  #handsOver = false;
  /** Whether they come from one before. */
  #isSuccessor = false;
  #restoreForwarding: () => void = () => undefined;
  #housekeeping: NodeJS.Timeout | undefined;
  #reloading: Promise<unknown> = Promise.resolve();

  /** Starts everything, or nothing: what was begun is taken back if a part fails. */
  static async start(config: GatewayConfig, options: GatewayOptions): Promise<Gateway> {
    const { log, capture, flowLogs, handover } = options;
    if (capture !== '') startCapture(capture);
    const kept = handover?.descriptor === undefined ? undefined : adoptInterface(handover.descriptor, config.interface);
    const tun = kept ?? openInterface(config.interface);
    const tunnel = await Tunnel.start({ tun, timing: timing(config.rekeyAfterMs), capture, log });
    const gateway = new Gateway(config, tunnel, log, flowLogs);
    gateway.#isSuccessor = kept !== undefined;
    try {
      await gateway.#begin();
      if (kept === undefined) handover?.keep(tun.fd);
      gateway.#handsOver = handover !== undefined;
    } catch (error) {
      await gateway.close();
      throw error;
    }
    return gateway;
  }

  private constructor(config: GatewayConfig, tunnel: Tunnel, log: Log, flowLogs: FlowSink) {
    this.#config = config;
    this.tunnel = tunnel;
    this.#log = log;
    this.#rules = new Rules(config);
    this.#paths = new Paths(tunnel, log);
    this.#shapes = new Shapes((...order) => this.tunnel.setShape(...order));
    this.#learning = new Learning(
      config,
      () => tunnel.name,
      () => this.#route(),
      log,
    );
    this.#flows = createFlowTable(config.flows, randomInt(2 ** 31));
    this.#flowWatch = new FlowWatch({
      tunnel,
      sink: flowLogs,
      capacity: config.flows,
      log,
      wallClock: () => Date.now(),
      bootClock: bootTime,
    });
    this.#lastSeen = new LastSeen(`${RUN_FOLDER}/${config.interface}.peers.json`);
  }

  /** Settles when the gateway has ended by itself or was closed. */
  get ended(): Promise<Ending> {
    return this.tunnel.ended;
  }

  async #begin(): Promise<void> {
    const config = this.#config;
    this.#listen(config.listen);
    this.#usePolicy();
    await this.#flowWatch.configure(config.flowLogs, config.interface);
    this.#flowWatch.start();
    for (const peering of config.peerings) this.#add(peering);
    if (this.#isSuccessor) this.#takeFlows();
    this.#route();
    await this.#configureLink(config);
    this.#restoreForwarding = enableForwarding(familiesOf(config));
    await Promise.all(Array.from(this.#peerings.values(), (peering) => this.#locate(peering)));
    this.#housekeeping = setInterval(() => void this.#keepHouse(), HOUSEKEEPING);
  }

  async #configureLink(config: GatewayConfig): Promise<void> {
    const { name } = this.tunnel;
    const link = await linkOf(config);
    // What the file no longer says goes; what it still says stays, without a moment's absence.
    const change = this.#isSuccessor
      ? await changeLink(name, await presentLink(name, this.tunnel.mtu), link, this.#log)
      : undefined;
    await configureLink(name, link.addresses, link.mtu);
    this.#openSocket();
    if (change === undefined) await changeRoutes(name, [], link.routes);
    await change?.finish();
  }

  #takeFlows(): void {
    const slots = new Map(Array.from(this.#peerings, ([name, { peer }]) => [name, peer.slot]));
    const count = takeFlows(this.#flowsPath, this.#flows, slots);
    this.#log.info(`the interface was kept, with ${count} tracked flows`);
  }

  /** Where the flows wait for the next process. */
  get #flowsPath(): string {
    return `${RUN_FOLDER}/${this.#config.interface}.flows`;
  }

  /** What `reload` would change. */
  difference(next: GatewayConfig): Change[] {
    return difference(this.#config, next);
  }

  /**
   * Changes to `next`, leaving alone whatever stays the same: sessions of unchanged peerings, tracked flows, counters.
   * Says what was changed. Throws an `IsthmusError`, with everything as before, for what can't change while running and
   * for what the system refuses. Reloads are done one after the other.
   */
  reload(next: GatewayConfig): Promise<Change[]> {
    const reload = this.#reloading.then(() => this.#reload(next));
    this.#reloading = reload.catch(() => undefined);
    return reload;
  }

  async #reload(next: GatewayConfig): Promise<Change[]> {
    const before = this.#config;
    const changes = difference(before, next);
    const refused = changes.filter((change) => change.refused).map(({ path }) => path);
    if (refused.length > 0) {
      throw new IsthmusError('ISTHMUS_RELOAD', `${refused.join(', ')} can't change while the gateway runs: restart it`);
    }
    const [was, is] = [await linkOf(before, this.tunnel.mtu), await linkOf(next)];
    const link = await changeLink(this.tunnel.name, was, is, this.#log);
    try {
      // Last of what can be refused: what comes to the old port while the new one is tried would be lost.
      this.#listen(next.listen);
    } catch (error) {
      await link.undo();
      throw error;
    }
    const moved = this.tunnel.together(() => this.#change(next));
    await link.finish();
    await this.#flowWatch.configure(next.flowLogs, next.interface);
    await Promise.all(moved.map((peering) => this.#locate(peering)));
    this.#log.info(`configuration reloaded, changes: ${changes.length}`);
    return changes;
  }

  async close(): Promise<void> {
    clearInterval(this.#housekeeping);
    this.#paths.close();
    this.#learning.close();
    await this.tunnel.close();
    await this.#flowWatch.close();
    if (this.#handsOver) return leaveFlows(this.#flowsPath, this.#flows, this.#names(), this.#log);
    // Switched on for this gateway, forwarding may by now serve another one too.
    if (!othersRun(this.#config.interface)) this.#restoreForwarding();
  }

  status(): GatewayStatus {
    const config = this.#config;
    return {
      gateway: config.name,
      interface: this.tunnel.name,
      port: this.tunnel.port,
      mtu: this.tunnel.mtu,
      addresses: config.addresses.map(formatPrefix),
      subnets: config.subnets.map(formatPrefix),
      aead: aeadLibrary(),
      uptime_s: Math.round((Date.now() - this.#startedAt) / 1000),
      peers: Array.from(this.#peerings.values(), (peering) => this.#peerStatus(peering)),
      rules: this.#rules.status(),
      listening: this.tunnel.isListening,
      flows: { ...flowsStatus(this.#flows), ...this.#rules.events() },
      threads: this.tunnel.threads(),
      all_drops: this.tunnel.allDrops(),
      drops: this.tunnel.drops(),
    };
  }

  /** What would become of a packet: see `trace`. */
  trace(query: URLSearchParams): TraceAnswer {
    const question = readQuestion(query);
    const { mtu, lists, bundles, isTransitFull } = this.tunnel;
    const { program } = this.#rules;
    const explainer = new Explainer({ routing: this.#routing, bundles, program, flows: this.#flows, mtu, lists });
    return trace(question, {
      explainer,
      routes: this.routes(),
      mtu,
      names: this.#names(),
      peering: (name) => this.#peerStatus(this.#peerings.get(name)!),
      rule: (id) => ruleText(this.#rules.rule(id)!),
      isTransitFull,
      seconds: Math.floor(bootTime() / 1000),
    });
  }

  /** A live trace: see `Live.follow`. */
  follow(query: URLSearchParams): AsyncGenerator<LiveStep | LiveEnd | undefined> {
    const names = this.#names();
    return this.#live.follow(query, {
      follow: (into) => this.tunnel.follow(into),
      name: (slot) => names.get(slot),
      rule: (number) => this.#rules.rule(number)?.name,
    });
  }

  /** The route tables, with what each route leads to. */
  routes(): RoutesStatus {
    return routesStatus(this.#learning.config);
  }

  /** The gateway as WireGuard's tools see it, each peer by the identity that it last used. */
  deviceState(): DeviceState {
    const peerings = [...this.#peerings.values()];
    return {
      privateKey: peerings.length === 1 ? credentialOf(peerings[0].peer).localPrivate : undefined,
      listenPort: this.tunnel.port,
      fwmark: 0,
      peers: peerings.map(({ config, peer }) => {
        const { remotePublic, presharedKey } = credentialOf(peer);
        const { rxBytes, txBytes } = this.tunnel.traffic(peer);
        return {
          publicKey: remotePublic,
          presharedKey,
          endpoint: this.tunnel.endpoint(peer),
          lastHandshakeAt: peer.lastHandshakeAt,
          rxBytes,
          txBytes,
          persistentKeepalive: config.keepaliveMs / 1000,
          allowedIps: [...config.subnets, ...config.addresses],
        };
      }),
    };
  }

  /** The flows that carry most, of the last minute or two; flows are noted for a minute after. */
  flows(query: FlowQuery): Promise<FlowsAnswer> {
    return this.#flowWatch.top(query);
  }

  #usePolicy(): void {
    this.#flows.tcpEstablished[0] = this.#config.tcpEstablishedTimeoutMs / 1000;
    const rules = this.#rules;
    this.#flowWatch.changeRules(rules.names(), () => this.tunnel.setPolicy(rules.program, this.#flows, rules));
  }

  #openSocket(): void {
    listening(this.#config.listen, () => this.tunnel.openSocket());
  }

  #listen(listen: Listen): void {
    listening(listen, () => this.tunnel.listen(listenOf(listen)));
  }

  #peerStatus({ config, peer }: Peering): PeerStatus {
    const traffic = this.tunnel.traffic(peer);
    const endpoint = this.tunnel.endpoint(peer);
    return {
      name: config.name,
      endpoint: endpoint === undefined ? null : formatEndpoint(endpoint),
      cipher: peer.lastHandshakeAt === 0 ? null : credentialOf(peer).cipher,
      public_key: Buffer.from(credentialOf(peer).remotePublic).toString('base64'),
      psk:
        peer.credential === null || config.keys.kind === 'plain' ? null : peer.credential.isNext ? 'next' : 'current',
      last_handshake_s: peer.lastHandshakeAt === 0 ? null : Math.round((Date.now() - peer.lastHandshakeAt) / 1000),
      handshakes: peer.handshakes,
      initiations: peer.initiations,
      rx_bytes: traffic.rxBytes,
      tx_bytes: traffic.txBytes,
      rx_packets: traffic.rxPackets,
      tx_packets: traffic.txPackets,
      routes: [...config.subnets, ...config.addresses].map(formatPrefix),
      acl: config.acl < 0 ? null : this.#config.acls[config.acl].name,
      security_groups: config.groups,
      network_acl: config.networkAcl ?? null,
      path: this.#paths.status(config.name),
      shape: this.#shapes.status(peer.slot),
      learnt_routes: this.#learning.routesOf(config.name),
      drops: traffic.drops,
    };
  }

  #add(config: PeeringConfig): Peering {
    const { keepaliveMs: persistentKeepalive } = config;
    const acl = this.#rules.placeOf(config);
    const { cipher: provenCipher } = this.#lastSeen.get(config.name);
    const credentials = credentialsOf(config);
    const peer = this.tunnel.addPeer({ credentials, persistentKeepalive, acl, provenCipher });
    this.#shapes.set(peer.slot, config.shape);
    this.#flowWatch.name(peer.slot, config.name);
    const peering = { config, peer, resolvedAt: 0 };
    this.#peerings.set(config.name, peering);
    return peering;
  }

  /** Everything that is the gateway's own. Returns the peerings that are to be called at their endpoints. */
  #change(next: GatewayConfig): Peering[] {
    this.#config = next;
    const rules = this.#rules;
    this.#rules = new Rules(next, rules);
    this.#usePolicy();
    const kept = new Set(next.peerings.map(({ name }) => name));
    for (const [name, { peer }] of [...this.#peerings]) {
      if (kept.has(name)) continue;
      this.tunnel.removePeer(peer);
      this.#shapes.forget(peer.slot);
      this.#peerings.delete(name);
    }
    this.#changeKeys(next.peerings);
    const staying = new Set(this.#peerings.keys());
    const moved = next.peerings.map((config) => this.#changePeering(config, rules));
    // The slots of new peerings may have been others', with flows of their own.
    const added = [...this.#peerings].flatMap(([name, { peer }]) => (staying.has(name) ? [] : peer.slot));
    if (added.length > 0) new FlowTable(this.#flows).forgetPeers(new Set(added));
    this.#route();
    return moved.filter((peering) => peering !== undefined);
  }

  /** Keys may go from one peering to another: all that are given up go first. */
  #changeKeys(next: readonly PeeringConfig[]): void {
    const changed: { peer: Peer; credentials: Credential[] }[] = [];
    for (const config of next) {
      const peering = this.#peerings.get(config.name);
      if (peering === undefined || sameKeys(peering.config.keys, config.keys)) continue;
      const { peer } = peering;
      const credentials = credentialsOf(config);
      changed.push({ peer, credentials });
      peer.setCredentials(peer.credentials.filter((held) => credentials.some((each) => sameIdentity(each, held))));
    }
    for (const { peer, credentials } of changed) {
      peer.setCredentials(credentials);
      if (credentials.some(({ isNext }) => isNext)) peer.renewSoon();
    }
  }

  #changePeering(config: PeeringConfig, rules: Rules): Peering | undefined {
    const peering = this.#peerings.get(config.name);
    if (peering === undefined) return this.#add(config);
    const { config: before, peer } = peering;
    peering.config = config;
    if (config.keepaliveMs !== before.keepaliveMs) peer.persistentKeepalive = config.keepaliveMs;
    const lists = this.#rules.placeOf(config);
    if (lists !== rules.placeOf(before)) this.tunnel.setAcl(peer, lists);
    this.#shapes.set(peer.slot, config.shape);
    const [old, now] = [before.endpoint, config.endpoint];
    const isElsewhere = now !== undefined && (now.host !== old?.host || now.port !== old.port);
    return isElsewhere ? peering : undefined;
  }

  /** Says who owns which addresses, and what goes where. */
  #route(): void {
    const peers = new Map(Array.from(this.#peerings, ([name, { peer }]) => [name, peer]));
    const slots = new Map(Array.from(peers, ([name, { slot }]) => [name, slot]));
    this.#paths.configure(this.#config, peers);
    this.#learning.configure(this.#config);
    this.#routing = compileRouting(this.#learning.config, slots, this.#paths.targets);
    this.tunnel.setRouting(this.#routing);
    this.tunnel.setAddresses(answeringAddresses(this.#config.addresses));
  }

  /** Of the peerings, by slot. */
  #names(): Map<number, string> {
    return new Map(Array.from(this.#peerings.values(), ({ config, peer }) => [peer.slot, config.name]));
  }

  /** Finds the peer's endpoint, by its configuration or by memory, and calls it. */
  async #locate(peering: Peering): Promise<void> {
    const { config, peer } = peering;
    peering.resolvedAt = Date.now();
    const known = config.endpoint ?? splitEndpoint(this.#lastSeen.get(config.name).endpoint);
    if (known === undefined) return;
    try {
      const address = isIP(known.host) === 0 ? (await lookup(known.host)).address : known.host;
      this.tunnel.setEndpoint(peer, endpointFrom(address, known.port));
      this.tunnel.connect(peer);
    } catch (error) {
      this.#log.warn(`peering ${config.name}: ${known.host} has no address yet: ${(error as Error).message}`);
    }
  }

  /** Remembers where the peers are, and resolves again the names of those that don't answer. */
  async #keepHouse(): Promise<void> {
    const seen = new Map<string, Sighting>();
    for (const { config, peer } of this.#peerings.values()) {
      const endpoint = this.tunnel.endpoint(peer);
      if (endpoint === undefined || peer.lastHandshakeAt === 0) continue;
      seen.set(config.name, { endpoint: formatEndpoint(endpoint), cipher: credentialOf(peer).cipher });
    }
    this.#lastSeen.update(seen);
    const now = Date.now();
    for (const peering of this.#peerings.values()) {
      const { endpoint } = peering.config;
      if (endpoint === undefined || isIP(endpoint.host) !== 0) continue;
      if (now - peering.peer.lastHandshakeAt < SESSION_LIFE || now - peering.resolvedAt < RESOLVE_AGAIN) continue;
      await this.#locate(peering);
    }
  }
}

/** Whether this host, or this network namespace of it, has another gateway. */
function othersRun(name: string): boolean {
  if (!existsSync(RUN_FOLDER)) return false;
  const here = networkInterfaces();
  return readdirSync(RUN_FOLDER).some((file) => {
    const other = /^(.*)\.sock$/.exec(file)?.[1] ?? name;
    return other !== name && other in here;
  });
}

function startCapture(path: string): void {
  try {
    createCapture(path);
  } catch (error) {
    throw new IsthmusError('ISTHMUS_FILE_WRITE', `cannot capture: ${(error as Error).message}`);
  }
}

/** What to do when an interface can't be opened, by the system's error. */
const ADVICE: Readonly<Partial<Record<string, string>>> = {
  EPERM: 'run as root or with CAP_NET_ADMIN',
  EACCES: 'run as root or with CAP_NET_ADMIN',
  EBUSY: 'another program has this interface',
  EINVAL: 'an interface of another kind has this name',
  ENOENT: 'load the tun module: modprobe tun',
};

function openInterface(name: string): ReturnType<typeof openTun> {
  try {
    return openTun(name);
  } catch (error) {
    const { code = '', message } = error as NodeJS.ErrnoException;
    const advice = ADVICE[code] ?? 'see the kernel log';
    throw new IsthmusError('ISTHMUS_TUN', `cannot open the interface ${name}: ${message}; ${advice}`);
  }
}

function listening({ address, port }: Listen, open: () => void): void {
  try {
    open();
  } catch (error) {
    const where = address === undefined ? `UDP port ${port}` : `${address}, UDP port ${port}`;
    throw new IsthmusError('ISTHMUS_LISTEN', `cannot listen on ${where}: ${(error as Error).message}`);
  }
}

function listenOf({ address, port }: Listen): { port: number; mark: number; address?: Int32Array } {
  return address === undefined ? { port, mark: 0 } : { port, mark: 0, address: Int32Array.from(addressWords(address)) };
}

function mtuOf(config: GatewayConfig): Promise<number> {
  if (config.mtu !== 'auto') return Promise.resolve(config.mtu);
  const host = config.peerings.find(({ endpoint }) => endpoint !== undefined)?.endpoint?.host;
  return automaticMtu(host !== undefined && isIP(host) !== 0 ? host : undefined);
}

function familiesOf({ subnets, peerings }: GatewayConfig): (4 | 6)[] {
  return [...subnets, ...peerings.flatMap((peering) => peering.subnets)].map(({ family }) => family);
}

async function linkOf(config: GatewayConfig, mtu?: number): Promise<LinkState> {
  return { addresses: config.addresses, routes: kernelRoutes(config), mtu: mtu ?? (await mtuOf(config)) };
}

/** `host:port` as `formatEndpoint` writes it. */
function splitEndpoint(text: string | undefined): { host: string; port: number } | undefined {
  const match = /^\[?([^\]]+)\]?:(\d+)$/.exec(text ?? '');
  return match === null ? undefined : { host: match[1], port: Number(match[2]) };
}
