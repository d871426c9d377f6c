/** What would become of a packet, step by step, without sending it: `isthmus trace`. */
import { isIP } from 'node:net';
import type { Explainer } from '../dataplane/explain.ts';
import { parsePrefix } from '../routing/prefix.ts';
import { matchingRoutes } from '../routing/route-table.ts';
import { LOCAL, bundleOf } from '../routing/target.ts';
import { BY_DEFAULT, NOT_ASKED } from '../policy/policy.ts';
import type { Decisions } from '../policy/policy.ts';
import { DROP_REASONS } from '../wire/drop.ts';
import type { DropReason } from '../wire/drop.ts';
import { addressWords } from '../wire/endpoint.ts';
import { IPV4_HEADER, IPV6_HEADER } from '../wire/ip-header.ts';
import { ICMP, ICMPV6, PROTOCOL, TCP_FLAG } from '../wire/packet.ts';
import { IsthmusError } from './errors.ts';
import { addressParameter, numberParameter, protocolParameter, unwanted } from './parameters.ts';
import type { RuleStatus } from './rules.ts';
import type { ShapeOutlook } from './shaping.ts';
import type { PeerStatus, RoutesStatus } from './status.ts';
import { originText } from './text.ts';

/** The packet that is asked about. */
export interface TraceQuestion {
  /** The attachment that it comes in by: `local`, a peering's name, or `auto`, the one that the source belongs to. */
  readonly from: string;
  readonly source: string;
  readonly destination: string;
  /** IP protocol number. */
  readonly protocol: number;
  /** The destination's; of ICMP the type of the message. */
  readonly port: number;
  readonly sourcePort: number;
  /** Bytes of the whole packet; 0 for the least that its headers need. */
  readonly size: number;
  /** Hops left. */
  readonly ttl: number;
}

export interface TraceStep {
  readonly step: 'attachment' | 'source' | 'route' | 'rules' | 'nat' | 'hops' | 'mtu' | 'shape' | 'peering';
  /** False where the packet is dropped; then it is the last step. */
  readonly passes: boolean;
  readonly text: string;
}

export interface TraceAnswer {
  readonly passes: boolean;
  /** The drop reason, null if the packet passes. */
  readonly reason: DropReason | null;
  /** `local` or a peering. */
  readonly from: string;
  /** `local`, a peering, or null if there is no route. */
  readonly to: string | null;
  readonly steps: readonly TraceStep[];
}

/** What a trace needs to know of the gateway beside what its data plane decides by. */
export interface TraceSurroundings {
  readonly explainer: Explainer;
  readonly routes: RoutesStatus;
  readonly mtu: number;
  /** Names of the peerings, by slot. */
  readonly names: ReadonlyMap<number, string>;
  peering(name: string): PeerStatus;
  /** A rule by its id: the list it is in, its name, and its line in the file. */
  rule(id: number): string;
  /** What a shape holds at this moment, undefined where there is none. `rule`: the id of what let the flow begin, or -1. */
  shape(peering: string, direction: 'out' | 'in', rule: number): ShapeOutlook | undefined;
  /** Whether the ring between the threads has no room. */
  readonly isTransitFull: boolean;
  /** Whole seconds of the data plane's clock. */
  readonly seconds: number;
}

const DEFAULT_TTL = 64;
const MAX_SIZE = 65535;
/** Where clients' ports begin (RFC 6335 §6). */
const CLIENT_PORT = 49152;

/** The question in a query's parameters. Throws an `IsthmusError`, `ISTHMUS_USAGE`, that says what is wrong. */
export function readQuestion(parameters: URLSearchParams): TraceQuestion {
  const source = addressParameter(parameters, 'source');
  const destination = addressParameter(parameters, 'destination');
  if (source === undefined || destination === undefined || source.family !== destination.family) {
    throw new IsthmusError('ISTHMUS_USAGE', 'wanted a source and a destination, two addresses of one family');
  }
  const protocol = protocolParameter(parameters, source.family);
  const echo = protocol === PROTOCOL.icmp ? ICMP.echo : protocol === PROTOCOL.icmpv6 ? ICMPV6.echo : 0;
  return {
    from: parameters.get('from') ?? 'auto',
    source: parameters.get('source')!,
    destination: parameters.get('destination')!,
    protocol,
    port: numberParameter(parameters, 'port', echo, 65535),
    sourcePort: numberParameter(parameters, 'source-port', CLIENT_PORT, 65535),
    size: numberParameter(parameters, 'size', 0, MAX_SIZE),
    ttl: numberParameter(parameters, 'ttl', DEFAULT_TTL, 255),
  };
}

/** The packet that a question describes. A TCP packet is a SYN, an ICMP one has the type that `port` says. */
function packetOf({ source, destination, protocol, port, sourcePort, size, ttl }: TraceQuestion): Uint8Array {
  const ipv4 = isIP(source) === 4;
  const header = ipv4 ? IPV4_HEADER : IPV6_HEADER;
  const least =
    header + (protocol === PROTOCOL.tcp ? 20 : protocol === PROTOCOL.sctp || protocol === PROTOCOL.dccp ? 12 : 8);
  const bytes = new Uint8Array(Math.max(size, least));
  const view = new DataView(bytes.buffer);
  const [from, to] = [addressWords(source), addressWords(destination)];
  if (ipv4) {
    bytes[0] = 0x45;
    view.setUint16(2, bytes.length);
    view.setUint16(6, 0x4000);
    bytes[8] = ttl;
    bytes[9] = protocol;
    view.setInt32(12, from[3]);
    view.setInt32(16, to[3]);
  } else {
    bytes[0] = 0x60;
    view.setUint16(4, bytes.length - header);
    bytes[6] = protocol;
    bytes[7] = ttl;
    from.forEach((word, index) => view.setInt32(8 + 4 * index, word));
    to.forEach((word, index) => view.setInt32(24 + 4 * index, word));
  }
  if (protocol === PROTOCOL.icmp || protocol === PROTOCOL.icmpv6) {
    bytes[header] = port & 255;
    return bytes;
  }
  view.setUint16(header, sourcePort);
  view.setUint16(header + 2, port);
  if (protocol === PROTOCOL.tcp) {
    bytes[header + 12] = 5 << 4;
    bytes[header + 13] = TCP_FLAG.syn;
  }
  return bytes;
}

/** Where a drop reason belongs; what is not here is the rules'. */
const STEP_OF: Readonly<Partial<Record<DropReason, TraceStep['step']>>> = {
  'source-not-local': 'source',
  'source-not-allowed': 'source',
  'no-route': 'route',
  'destination-not-local': 'route',
  'blackhole-route': 'route',
  'ttl-expired': 'hops',
  'packet-too-big': 'mtu',
  'shaper-queue-full': 'shape',
  'transit-queue-full': 'peering',
  'no-endpoint': 'peering',
};

/** Answers a question. Throws an `IsthmusError`, `ISTHMUS_USAGE`, for an attachment that is not there. */
export function trace(question: TraceQuestion, around: TraceSurroundings): TraceAnswer {
  const { explainer, names } = around;
  const bytes = packetOf(question);
  const slotOf = new Map(Array.from(names, ([slot, name]) => [name, slot]));
  const nameOf = (target: number): string | null => (target === LOCAL ? 'local' : (names.get(target) ?? null));
  const named = (name: string): number => (name === 'local' ? -1 : (slotOf.get(name) ?? -2));
  let from = named(question.from);
  if (question.from === 'auto') {
    explainer.explain(bytes, -1, around.seconds);
    const { owner } = explainer.verdict;
    from = owner === LOCAL || owner < 0 ? -1 : (slotsOf(owner, around).at(0) ?? -1);
  } else if (from === -2) {
    const known = ['local', ...slotOf.keys()].join(', ');
    throw unwanted('from', question.from, `an attachment: ${known}`);
  }
  const decided = explainer.explain(bytes, from, around.seconds);
  const { verdict } = explainer;
  const { target } = verdict;
  const fromName = from < 0 ? 'local' : names.get(from)!;
  const toName = nameOf(target);
  const isTransit = from >= 0 && target !== LOCAL;
  const peer = target === LOCAL || toName === null ? undefined : around.peering(toName);
  let reason: DropReason | null = decided === 0 ? null : DROP_REASONS[decided];
  const shapes = decided === 0 ? shapesOf(around, fromName, toName, isTransit) : [];
  if (reason === null && shapes.some((each) => isFull(each, bytes.length))) reason = 'shaper-queue-full';
  if (reason === null && isTransit && around.isTransitFull) reason = 'transit-queue-full';
  if (reason === null && peer?.endpoint === null) reason = 'no-endpoint';
  const last = reason === null ? undefined : (STEP_OF[reason] ?? 'rules');

  const steps: TraceStep[] = [];
  const all: readonly (readonly [TraceStep['step'], () => string])[] = [
    ['attachment', () => `comes in by ${fromName}${question.from === 'auto' ? whyFrom(verdict.owner) : ''}`],
    ['source', () => `${question.source} belongs to ${ownersText(verdict.owner, around)}`],
    ['route', () => routeText(question, fromName, around.routes)],
    ['rules', () => rulesText(around, isTransit, fromName, toName!)],
    ['nat', () => 'none'],
    [
      'hops',
      () => (isTransit ? `${question.ttl} left, the gateway takes one` : `${question.ttl} left, none taken here`),
    ],
    ['mtu', () => mtuText(bytes.length, around.mtu, verdict.isTooBig, isTransit)],
    ...(shapes.length === 0 ? [] : [['shape', () => shapes.map(shapeText).join('; ')] as const]),
    ['peering', () => peeringText(peer)],
  ];
  for (const [step, text] of all) {
    steps.push({ step, passes: step !== last, text: text() });
    if (step === last) break;
  }
  return { passes: reason === null, reason, from: fromName, to: toName, steps };
}

/** Why a packet was taken to come in where it does; `owner`: whose its source is. */
function whyFrom(owner: number): string {
  return owner === LOCAL || owner >= 0 ? ', to which its source belongs' : ', as its source belongs to nobody';
}

function mtuText(size: number, mtu: number, isCut: boolean, isTransit: boolean): string {
  const text = `${size} bytes of at most ${mtu}`;
  if (isCut) return `${text}, sent in fragments`;
  // From peer to peer the gateway says so itself; elsewhere the interface's MTU does, before it sees the packet.
  return size > mtu && !isTransit ? `${text}, which the kernel refuses or cuts before the gateway sees it` : text;
}

/** The slots of a target that is a peering, or a bundle of them. */
function slotsOf(target: number, { explainer, names }: TraceSurroundings): number[] {
  const bundle = bundleOf(target);
  if (bundle < 0) return names.has(target) ? [target] : [];
  return [...names.keys()].filter((slot) => explainer.verdict.bundles.holds(bundle, slot));
}

function ownersText(owner: number, around: TraceSurroundings): string {
  if (owner === LOCAL) return 'local';
  const slots = slotsOf(owner, around);
  return slots.length === 0 ? 'no attachment' : slots.map((slot) => around.names.get(slot)).join(' and ');
}

function routeText({ destination }: TraceQuestion, from: string, { tables }: RoutesStatus): string {
  const table = tables.find(({ associated }) => associated.includes(from));
  if (table === undefined) return `${from} is associated with no route table`;
  const routes = matchingRoutes(
    table.routes.map((route) => ({ route, prefix: parsePrefix(route.destination) })),
    parsePrefix(destination),
  ).map(({ route }) => route);
  if (routes.length === 0) return `table ${table.name} has no route to ${destination}`;
  const texts = routes.map((route) => {
    const { destination: prefix, target, line } = route;
    return `${prefix} to ${target} (${originText(route)}${line === null ? '' : `, line ${line}`})`;
  });
  const beaten = texts.length === 1 ? '' : `; before ${texts.slice(1).join(', ')}`;
  return `table ${table.name}: ${texts[0]}${beaten}`;
}

function rulesText(around: TraceSurroundings, isTransit: boolean, from: string, to: string): string {
  const { explainer } = around;
  if (isTransit) {
    const first = `in by ${from}: ${decisionsText(around, explainer.decisions(), from)}`;
    const second = decisionsText(around, explainer.decisions(true), to);
    return `${first}; out by ${to}: ${second}`;
  }
  const [peering, direction] = from === 'local' ? [to, 'out'] : [from, 'in'];
  return `${direction} by ${peering}: ${decisionsText(around, explainer.decisions(), peering)}`;
}

function decisionsText(around: TraceSurroundings, decisions: Decisions, peering: string): string {
  const hasGroups = around.peering(peering).security_groups.length > 0;
  const lists: readonly (readonly [list: string, id: number, byDefault: string])[] = [
    [`network ACL of ${peering}`, decisions.networkAcl, ''],
    ['network ACL of the local VPC', decisions.localNetworkAcl, 'none for this subnet'],
    hasGroups
      ? [`security groups of ${peering}`, decisions.list, 'no rule allows it']
      : [`access list of ${peering}`, decisions.list, 'its default'],
    ['security groups of the local VPC', decisions.localList, 'no rule allows it'],
  ];
  const asked = lists.filter(([, id]) => id !== NOT_ASKED);
  if (asked.length === 0) return 'a tracked flow, an answer to one, or no rules at all';
  return asked.map(([list, id, byDefault]) => `${list}: ${id === BY_DEFAULT ? byDefault : around.rule(id)}`).join('; ');
}

interface NamedOutlook extends ShapeOutlook {
  readonly at: string;
}

/** The shapes on the packet's way. What goes on to another peering is told apart by its DSCP alone there. */
function shapesOf(around: TraceSurroundings, from: string, to: string | null, isTransit: boolean): NamedOutlook[] {
  const { begunBy } = around.explainer;
  const at = (peering: string, direction: 'out' | 'in', rule: number): NamedOutlook[] => {
    const outlook = around.shape(peering, direction, rule);
    return outlook === undefined ? [] : [{ ...outlook, at: `${direction} by ${peering}` }];
  };
  return [
    ...(from === 'local' ? [] : at(from, 'in', begunBy)),
    ...(to === 'local' || to === null ? [] : at(to, 'out', isTransit ? -1 : begunBy)),
  ];
}

function isFull({ queued, limit }: ShapeOutlook, bytes: number): boolean {
  return queued > 0 && queued + bytes > limit;
}

function shapeText({ at, name, queued, limit }: NamedOutlook): string {
  const waiting = queued === 0 ? 'nothing waits' : `${queued} bytes wait, of at most ${Math.floor(limit)}`;
  return `${at}, class ${name}: ${waiting}`;
}

function peeringText(peer: PeerStatus | undefined): string {
  if (peer === undefined) return 'none: to the TUN';
  if (peer.endpoint === null) return `${peer.name} has no endpoint yet: it has to call`;
  const session =
    peer.last_handshake_s === null
      ? 'no session yet, packets wait for one; of more than 128 the oldest are dropped'
      : `handshake ${peer.last_handshake_s} s ago`;
  return `${peer.name} at ${peer.endpoint}, ${session}`;
}

/** A rule with the list that it is in and its line in the file. */
export function ruleText({ acl, name, action, line }: Pick<RuleStatus, 'acl' | 'name' | 'action' | 'line'>): string {
  return `${action} by rule ${name} of ${acl}${line === 0 ? '' : `, line ${line}`}`;
}
