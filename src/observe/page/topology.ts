/** The drawing: the local VPC, the gateway, and the peerings with what goes over each. */
import type { GatewayStatus, PeerStatus } from '../../gateway/status.ts';
import { setAttribute, setText, svg } from './dom.ts';
import { latest } from './history.ts';
import type { History } from './history.ts';
import { stateOf, textOf } from './states.ts';
import type { State } from './states.ts';
import { formatBits } from './units.ts';

/** More peerings than these are in the table only. */
const DRAWN = 8;
const ROW = 80;
const NODE = { width: 204, height: 66 };
const COLUMNS = { local: 4, gateway: 366, peer: 852 };
/** How much of a line to a peering is straight: as much as its label needs. */
const STRAIGHT = 130;
const WIDTH = COLUMNS.peer + NODE.width + 4;
/** Characters of a line that fit into a node. */
const FITTING = 26;
/** Below this, in bits per second, nothing is drawn as moving: probes and keepalives. */
const MOVING = 20_000;

interface Edge {
  readonly lines: { readonly in: SVGPathElement; readonly out: SVGPathElement };
  readonly label: { readonly in: SVGTextElement; readonly out: SVGTextElement };
  /** The peer's, which shows its state. */
  readonly node: SVGGElement | undefined;
}

export class Topology {
  readonly #parent: HTMLElement;
  #shape = '';
  #root: SVGSVGElement | undefined;
  #edges = new Map<string, Edge>();
  #local: Edge | undefined;

  constructor(parent: HTMLElement) {
    this.#parent = parent;
  }

  draw(status: GatewayStatus, history: History): void {
    // What is drawn where changes with the configuration, and with that alone.
    const { gateway, subnets, peers } = status;
    const shape = JSON.stringify([
      gateway,
      status.interface,
      status.port,
      subnets,
      peers.map(({ name, routes }) => [name, routes]),
    ]);
    if (shape !== this.#shape) this.#build(status);
    this.#shape = shape;
    for (const peer of peers) {
      const edge = this.#edges.get(peer.name);
      if (edge !== undefined) bringUpToDate(edge, stateOf(peer), history.of(peer.name));
    }
    bringUpToDate(this.#local!, { level: 'good', word: '' }, history.total);
    const up = peers.filter((peer) => stateOf(peer).level === 'good').length;
    const rates = `in ${formatBits(latest(history.total.rx))}, out ${formatBits(latest(history.total.tx))}`;
    const words = `Gateway ${gateway} joins the local VPC to its peerings, of which ${up} of ${peers.length} are up; now ${rates}`;
    setAttribute(this.#root!, 'aria-label', words);
  }

  #build({ gateway, interface: name, port, subnets, peers }: GatewayStatus): void {
    const drawn = peers.slice(0, DRAWN);
    const left = peers.length - drawn.length;
    const height = Math.max(drawn.length, 1) * ROW + (left > 0 ? 28 : 0) + 8;
    const middle = (Math.max(drawn.length, 1) * ROW) / 2;
    const root = svg('svg', { viewBox: `0 0 ${WIDTH} ${height}`, role: 'img', class: 'topology' });
    this.#edges = new Map();
    this.#local = edge(root, { x: COLUMNS.gateway, y: middle }, { x: COLUMNS.local + NODE.width, y: middle });
    node(root, COLUMNS.local, middle, 'node vpc', { title: 'Local VPC', lines: subnets });
    drawn.forEach((peer, at) => {
      const y = at * ROW + ROW / 2;
      const made = edge(root, { x: COLUMNS.peer, y }, { x: COLUMNS.gateway + NODE.width, y: middle });
      const networks = vpcOf(peer).join(', ');
      const box = node(root, COLUMNS.peer, y, 'node peer', { title: peer.name, lines: [networks, '–'] });
      this.#edges.set(peer.name, { ...made, node: box });
    });
    node(root, COLUMNS.gateway, middle, 'node gateway', { title: gateway, lines: [`${name}, UDP port ${port}`] });
    if (left > 0) {
      const place = { x: COLUMNS.peer + NODE.width / 2, y: drawn.length * ROW + 20, class: 'small middle' };
      root.append(svg('text', place, `and ${left} more, in the table`));
    }
    this.#parent.replaceChildren(root);
    this.#root = root;
  }
}

/** The peer's networks without its overlay addresses, which are one address each. */
function vpcOf({ routes }: PeerStatus): string[] {
  const networks = routes.filter((route) => !/\/(32|128)$/.test(route));
  return networks.length > 0 ? networks : [...routes];
}

interface NodeText {
  readonly title: string;
  readonly lines: readonly string[];
}

/** A box with a name, networks, and where it has a state, that. Everything in full is its title. */
function node(root: SVGElement, x: number, y: number, kind: string, { title, lines }: NodeText): SVGGElement {
  const { width, height } = NODE;
  const text = (words: string, at: number, what: string): SVGTextElement =>
    svg('text', { x: 16, y: at, class: what }, words.length > FITTING ? `${words.slice(0, FITTING - 1)}…` : words);
  const group = svg(
    'g',
    { class: kind, transform: `translate(${x} ${y - height / 2})` },
    svg('title', {}, [title, ...lines].join('\n')),
    svg('rect', { width, height, rx: 10 }),
    svg('rect', { class: 'mark', x: 0, y: 12, width: 4, height: height - 24, rx: 2 }),
    text(title, 24, 'name'),
    text(lines.at(0) ?? '', 42, 'small'),
    text(lines.length > 2 ? `${lines[1]}, +${lines.length - 2}` : (lines.at(1) ?? ''), 57, 'small'),
  );
  root.append(group);
  return group;
}

/** A line for what comes in, from `outer` to `inner`, one back for what goes out, and in words what they carry. */
function edge(root: SVGElement, outer: Point, inner: Point): Edge {
  const way = (shift: number, back: boolean): string => {
    const points = [outer, { x: outer.x - STRAIGHT, y: outer.y }, inner].map(({ x, y }) => ({ x, y: y + shift }));
    const bend = (points[1].x + points[2].x) / 2;
    const controls = [points[1], points[2]].map(({ y }) => `${bend},${y}`);
    const [start, turn, end] = points.map(({ x, y }) => `${x},${y}`);
    return back
      ? `M${end}C${controls[1]} ${controls[0]} ${turn}L${start}`
      : `M${start}L${turn}C${controls[0]} ${controls[1]} ${end}`;
  };
  const lines = {
    in: svg('path', { d: way(5, false), class: 'flow in' }),
    out: svg('path', { d: way(-5, true), class: 'flow out' }),
  };
  const label = {
    out: svg('text', { x: outer.x - 10, y: outer.y - 14, class: 'rate out end' }),
    in: svg('text', { x: outer.x - 10, y: outer.y + 25, class: 'rate in end' }),
  };
  root.append(lines.in, lines.out, label.in, label.out);
  return { lines, label, node: undefined };
}

interface Point {
  readonly x: number;
  readonly y: number;
}

function bringUpToDate(drawn: Edge, state: State, { rx, tx }: { rx: readonly number[]; tx: readonly number[] }): void {
  for (const [direction, rate] of [
    ['in', latest(rx)],
    ['out', latest(tx)],
  ] as const) {
    const moving = rate >= MOVING ? ' moving' : '';
    setAttribute(drawn.lines[direction], 'class', `flow ${direction} ${state.level}${moving}`);
    setAttribute(drawn.lines[direction], 'stroke-width', strokeWidth(rate).toFixed(1));
    setText(drawn.label[direction], `${direction} ${formatBits(rate)}`);
  }
  if (drawn.node === undefined) return;
  setAttribute(drawn.node, 'class', `node peer ${state.level}`);
  setText(drawn.node.lastElementChild!, textOf(state));
}

/** From 1.5 where next to nothing goes, by two for each power of ten above 100 kbit/s, to 9. */
function strokeWidth(bits: number): number {
  return Math.min(9, 1.5 + 1.7 * Math.max(0, Math.log10(Math.max(1, bits)) - 5));
}
