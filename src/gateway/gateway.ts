/** The composition root: a configuration becomes a running gateway, and a new configuration changes it by difference. */
import { randomInt } from 'node:crypto';
import { aeadLibrary, bootTime } from '../nic/native.ts';
import { FlowTable, createFlowTable } from '../policy/flow-table.ts';
import type { FlowTableData } from '../policy/flow-table.ts';
import { buildPrefixTable } from '../routing/prefix-table.ts';
import { formatPrefix } from '../routing/prefix.ts';
import { singleTable } from '../routing/routing.ts';
import { timing } from '../session/constants.ts';
import { formatEndpoint } from '../wire/endpoint.ts';
import type { GatewayConfig, Listen, PeeringConfig } from './config.ts';
import { changeKeys, credentialOf, credentialsOf, sameKeys } from './credentials.ts';
import { peerState } from './device-state.ts';
import type { DeviceState } from './device-state.ts';
import { difference } from './difference.ts';
import type { Change } from './difference.ts';
import { IsthmusError } from './errors.ts';
import type { FlowQuery, FlowsAnswer } from './flow-top.ts';
import { FlowWatch } from './flow-watch.ts';
import type { FlowSink } from './flow-watch.ts';
import { adoptInterface, leaveFlows, presentLink, takeFlows } from './handover.ts';
import type { Handover } from './handover.ts';
import {
  RUN_FOLDER,
  familiesOf,
  linkOf,
  listenOf,
  listening,
  mtuOf,
  openInterface,
  othersRun,
  startCapture,
} from './host.ts';
import { LastSeen } from './last-seen.ts';
import { Explainer } from '../dataplane/explain.ts';
import { Live } from './live.ts';
import type { LiveEnd, LiveStep } from './live.ts';
import { changeLink } from './link.ts';
import { Learning } from './learning.ts';
import { Locating } from './locating.ts';
import type { Located } from './locating.ts';
import { addRoutes, configureLink, enableForwarding } from './network.ts';
import { Paths } from './paths.ts';
import { answeringAddresses, compileRouting, tunnelRoutes, routesStatus } from './routing.ts';
import { troubleOf } from './refusals.ts';
import { Rules } from './rules.ts';
import { Shapes } from './shaping.ts';
import type { GatewayStatus, PeerStatus, RoutesStatus } from './status.ts';
import { readQuestion, ruleText, trace } from './trace.ts';
import type { TraceAnswer } from './trace.ts';
import { Tunnel } from './tunnel.ts';
import type { Ending, Log } from './tunnel.ts';
import { flowsStatus, localStatus } from './vitals.ts';

export { RUN_FOLDER } from './host.ts';

/** How often names are looked at that may have to be resolved again, and where peers are is written down, in ms. */
const HOUSEKEEPING = 250;

interface Peering extends Located {
  config: PeeringConfig;
}

export interface GatewayOptions {
  readonly log: Log;
  /** A pcap file for the packets of the overlay, or empty. */
  readonly capture: string;
  /** Takes what is to be written of flows. */
  readonly flowLogs: FlowSink;
  /** Is told what the gateway of a peering says about it. */
  readonly hear?: (peering: string, payload: Uint8Array) => void;
  /** Where the process has a supervisor that keeps the interface for the next one. */
  readonly handover?: Handover | undefined;
}

export class Gateway {
  readonly tunnel: Tunnel;
  readonly #log: Log;
  readonly #startedAt = Date.now();
  readonly #peerings = new Map<string, Peering>();
  readonly #lastSeen: LastSeen;
  readonly #locating: Locating;
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
    const { log, capture, flowLogs, handover, hear } = options;
    if (capture !== '') startCapture(capture);
    const kept = handover?.descriptor === undefined ? undefined : adoptInterface(handover.descriptor, config.interface);
    const tun = kept ?? openInterface(config.interface);
    const tunnel = await Tunnel.start({ tun, timing: timing(config.rekeyAfterMs), capture, log });
    const gateway = new Gateway(config, tunnel, log, flowLogs);
    gateway.#isSuccessor = kept !== undefined;
    if (hear !== undefined) gateway.#listenTo(hear);
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
    this.#locating = new Locating(tunnel, this.#lastSeen, log);
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
    if (this.#isSuccessor) await this.#takeOver(config);
    this.#route();
    await configureLink(this.tunnel.name, config.addresses, await mtuOf(config));
    this.#openSocket();
    await addRoutes(this.tunnel.name, tunnelRoutes(config));
    this.#restoreForwarding = enableForwarding(familiesOf(config));
    await Promise.all(Array.from(this.#peerings.values(), (peering) => this.#locating.locate(peering)));
    this.#housekeeping = setInterval(() => void this.#locating.keepHouse(this.#peerings), HOUSEKEEPING);
  }

  /** Takes the interface and the flows of the process before, so that they are as `config` has them. */
  async #takeOver(config: GatewayConfig): Promise<void> {
    const { name, mtu } = this.tunnel;
    const slots = new Map(Array.from(this.#peerings, ([peering, { peer }]) => [peering, peer.slot]));
    const count = takeFlows(this.#flowsPath, this.#flows, slots);
    this.#log.info(`the interface was kept, with ${count} tracked flows`);
    // What the file no longer says goes; what it still says stays, without a moment's absence.
    const change = await changeLink(name, await presentLink(name, mtu), await linkOf(config), this.#log);
    await change.finish();
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
    await Promise.all(moved.map((peering) => this.#locating.locate(peering)));
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
      uptime_s: ageOf(this.#startedAt),
      peers: this.peers(),
      rules: this.#rules.status(),
      listening: this.tunnel.isListening,
      local: localStatus(this.tunnel.name),
      transit_queue_bytes: this.tunnel.transitQueue,
      flows: { ...flowsStatus(this.#flows), ...this.#rules.events() },
      threads: this.tunnel.threads(),
      refused: this.tunnel.refusals.status((slot) => this.#names().get(slot), bootTime()),
      all_drops: this.tunnel.allDrops(),
      drops: this.tunnel.drops(),
    };
  }

  /** Of each peering that carries packets: a part of the status that costs little. */
  peers(): PeerStatus[] {
    const carrying = [...this.#peerings.values()].filter(({ config }) => config.unrouted !== true);
    return carrying.map((peering) => this.#peerStatus(peering));
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
      shape: (name, direction, rule) => {
        const { slot } = this.#peerings.get(name)!.peer;
        return this.#shapes.outlook(slot, direction, program.names[rule]);
      },
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
      rule: (number) => this.#rules.names()[number],
    });
  }

  /** The route tables, with what each route leads to. */
  routes(): RoutesStatus {
    return routesStatus(this.#learning.config);
  }

  /** The gateway as WireGuard's tools see it. */
  deviceState(): DeviceState {
    const peerings = [...this.#peerings.values()];
    return {
      privateKey: peerings.length === 1 ? credentialOf(peerings[0].peer).localPrivate : undefined,
      listenPort: this.tunnel.port,
      fwmark: 0,
      peers: peerings.map((peering) => peerState(peering, this.tunnel)),
    };
  }

  /** Says something about a peering to its gateway, if there is a session; asks for one if there is none. */
  say(peering: string, payload: Uint8Array): void {
    const peer = this.#peerings.get(peering)?.peer;
    if (peer !== undefined) this.tunnel.say(peer, payload);
  }

  #listenTo(hear: (peering: string, payload: Uint8Array) => void): void {
    this.tunnel.listenTo((slot, payload) => {
      const name = this.#names().get(slot);
      if (name !== undefined) hear(name, payload);
    });
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

  #peerStatus({ config, peer, roams }: Peering): PeerStatus {
    const traffic = this.tunnel.traffic(peer);
    const endpoint = this.tunnel.endpoint(peer);
    return {
      name: config.name,
      endpoint: endpoint === undefined ? null : formatEndpoint(endpoint),
      roams,
      cipher: peer.lastHandshakeAt === 0 ? null : credentialOf(peer).cipher,
      public_key: Buffer.from(credentialOf(peer).remotePublic).toString('base64'),
      psk:
        peer.credential === null || config.keys.kind === 'plain' ? null : peer.credential.isNext ? 'next' : 'current',
      psk_age_s: config.pskWrittenAt === undefined ? null : ageOf(config.pskWrittenAt),
      last_handshake_s: peer.lastHandshakeAt === 0 ? null : ageOf(peer.lastHandshakeAt),
      handshakes: peer.handshakes,
      initiations: peer.initiations,
      ...troubleOf(peer, bootTime()),
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
    const endpoint = this.#locating.known(config);
    const peer = this.tunnel.addPeer({ credentials, persistentKeepalive, acl, provenCipher, endpoint });
    this.#shapes.set(peer.slot, config.shape);
    this.#flowWatch.name(peer.slot, config.name);
    const peering = { config, peer, resolvedAt: 0, seenAt: '', roams: 0 };
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

  #changeKeys(next: readonly PeeringConfig[]): void {
    const changed = next.flatMap((config) => {
      const peering = this.#peerings.get(config.name);
      const isSame = peering === undefined || sameKeys(peering.config.keys, config.keys);
      return isSame ? [] : [{ peer: peering.peer, credentials: credentialsOf(config) }];
    });
    changeKeys(changed);
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
}

/** Seconds since `at`, ms since 1970. */
function ageOf(at: number): number {
  return Math.round((Date.now() - at) / 1000);
}
