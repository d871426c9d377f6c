/** The tables that are brought up to date with each status. */
import type { FlowRow, FlowsAnswer } from '../../gateway/flow-top.ts';
import type { PeeringStatus } from '../../gateway/peering-status.ts';
import type { RuleStatus } from '../../gateway/rules.ts';
import type { GatewayStatus, PeerStatus, RouteStatus, RoutesStatus, ShapeClassStatus } from '../../gateway/status.ts';
import { drawSparkline } from './chart.ts';
import type { PeeringsAnswer } from './calls.ts';
import { byId, drawState, fieldById, html, Rows, setText, textColumn } from './dom.ts';
import type { Column } from './dom.ts';
import { latest } from './history.ts';
import type { History } from './history.ts';
import { MEANINGS } from './reasons.ts';
import { stateOf } from './states.ts';
import {
  formatBits,
  formatBytes,
  formatCount,
  formatEnd,
  formatPerSecond,
  formatProtocol,
  formatSeconds,
  formatShare,
} from './units.ts';

/** Rows that a table that is searched shows at once. */
const MOST_ROWS = 200;
const NOTHING = '–';

const header = <Item>(text: (item: Item) => string): Column<Item> => ({ ...textColumn(text), isHeader: true });

/** Two lines: what matters, and what is good to know. */
function twoLines<Item>(texts: (item: Item) => readonly [string, string], isHeader = false): Column<Item> {
  return {
    isHeader,
    draw(cell, item) {
      if (cell.children.length === 0) cell.append(html('span', { class: 'first' }), html('span', { class: 'second' }));
      texts(item).forEach((text, at) => setText(cell.children[at], text));
    },
  };
}

export class Peerings {
  readonly #rows: Rows<PeerStatus>;

  constructor(history: History) {
    this.#rows = new Rows(byId('peerings'), ({ name }: PeerStatus) => name, [
      twoLines(({ name, routes, learnt_routes: learnt }) => [name, shortened([...routes, ...learnt])], true),
      {
        draw(cell, peer) {
          if (cell.firstElementChild === null) cell.append(html('span'));
          drawState(cell.firstElementChild!, stateOf(peer));
        },
      },
      twoLines(({ endpoint, cipher }) => [endpoint ?? 'not known', cipher ?? NOTHING]),
      textColumn(({ last_handshake_s: age }) => (age === null ? NOTHING : formatSeconds(Math.max(0, age))), 'number'),
      twoLines(({ path }) => [
        path?.rtt_ms == null ? NOTHING : `${path.rtt_ms.toFixed(1)} ms`,
        path?.loss == null ? '' : `${formatShare(path.loss)} lost`,
      ]),
      twoLines(({ name, rx_bytes }) => [formatBits(latest(history.of(name).rx)), formatBytes(rx_bytes)]),
      twoLines(({ name, tx_bytes }) => [formatBits(latest(history.of(name).tx)), formatBytes(tx_bytes)]),
      { class: 'graph', draw: (cell, { name }) => drawSparkline(cell, history.of(name)) },
      textColumn(({ drops }) => formatCount(Object.values(drops).reduce((sum, count) => sum + count, 0)), 'number'),
    ]);
  }

  show({ peers }: GatewayStatus): void {
    this.#rows.show(peers, 'No peering carries packets.');
  }
}

/** The life of requested peerings, beside what goes over them. */
export class Requests {
  readonly #section = byId('requests');
  readonly #rows = new Rows(byId('requested'), ({ id }: PeeringStatus) => id ?? '', [
    twoLines(({ name, id }) => [name, id ?? ''], true),
    textColumn(({ state }) => state),
    textColumn(({ side }) => side ?? NOTHING),
    textColumn(({ peer_subnets: networks }) => shortened(networks)),
    textColumn(({ changed_at: at }) => (at === null ? NOTHING : new Date(at).toLocaleString([], { hour12: false }))),
    textColumn(({ message }) => message, 'wide'),
  ]);

  show({ peerings }: PeeringsAnswer): void {
    const requested = peerings.filter(({ origin }) => origin === 'requested');
    this.#section.hidden = requested.length === 0;
    this.#rows.show(requested, '');
  }
}

interface DropRow {
  readonly reason: string;
  readonly count: number;
  readonly rate: number;
}

export class Drops {
  readonly #history: History;
  readonly #rows = new Rows(byId('drops'), ({ reason }: DropRow) => reason, [
    header(({ reason }) => reason),
    textColumn(({ rate }) => formatPerSecond(rate), 'number'),
    textColumn(({ count }) => formatCount(count), 'number'),
    textColumn(({ reason }) => MEANINGS[reason] ?? '', 'wide'),
  ]);

  constructor(history: History) {
    this.#history = history;
  }

  show({ all_drops: drops }: GatewayStatus): void {
    const rows = Object.entries(drops)
      .filter(([, count]) => count > 0)
      .map(([reason, count]) => ({ reason, count, rate: this.#history.dropRate(reason) }))
      .sort((a, b) => b.count - a.count);
    this.#rows.show(rows, 'Nothing was dropped since the start.');
  }
}

interface ClassRow {
  readonly peer: string;
  readonly direction: string;
  readonly shaped: ShapeClassStatus;
}

export class Shapes {
  readonly #section = byId('shaping');
  readonly #rows = new Rows(
    byId('shapes'),
    ({ peer, direction, shaped }: ClassRow) => JSON.stringify([peer, direction, shaped.name]),
    [
      header(({ peer, direction }) => `${peer}, ${direction}`),
      textColumn(({ shaped }) => shaped.name),
      textColumn(({ shaped }) => String(shaped.priority), 'number'),
      textColumn(({ shaped }) => (shaped.rate_bit === null ? 'as the shape' : formatBits(shaped.rate_bit)), 'number'),
      textColumn(({ shaped }) => formatBytes(shaped.bytes), 'number'),
      textColumn(({ shaped }) => formatBytes(shaped.queued_bytes), 'number'),
      textColumn(({ shaped }) => formatCount(shaped.delayed), 'number'),
      textColumn(({ shaped }) => formatCount(shaped.drops), 'number'),
    ],
  );

  show({ peers }: GatewayStatus): void {
    const rows = peers.flatMap(({ name: peer, shape }) =>
      shape.flatMap(({ direction, classes }) => classes.map((shaped) => ({ peer, direction, shaped }))),
    );
    this.#section.hidden = rows.length === 0;
    this.#rows.show(rows, '');
  }
}

export class Flows {
  #answer: FlowsAnswer | undefined;
  readonly #filter = fieldById('flow-filter', HTMLInputElement);
  readonly #rows = new Rows(
    byId('flows'),
    (flow: FlowRow) => JSON.stringify([flow.peering, flow.direction, flow.protocol, endsOf(flow), flow.drop_reason]),
    [
      header((flow) => `${flow.peering ?? 'no peering'}, ${flow.direction}`),
      textColumn(({ protocol }) => formatProtocol(protocol)),
      textColumn((flow) => formatEnd(flow.source, flow.source_port), 'address'),
      textColumn((flow) => formatEnd(flow.destination, flow.destination_port), 'address'),
      textColumn(({ drop_reason: reason }) => (reason === null ? 'passes' : `dropped: ${reason}`)),
      textColumn(({ rate_bps: rate }) => formatBits(rate), 'number'),
      textColumn(({ bytes }) => formatBytes(bytes), 'number'),
    ],
  );

  constructor() {
    this.#filter.addEventListener('input', () => this.#draw());
  }

  show(answer: FlowsAnswer): void {
    this.#answer = answer;
    this.#draw();
  }

  #draw(): void {
    if (this.#answer === undefined) return;
    const { flows, matched, watched_s: seconds } = this.#answer;
    const found = flows.filter((flow) =>
      holds(this.#filter.value, [flow.peering ?? '', endsOf(flow), flow.drop_reason ?? 'passes']),
    );
    const shown = found.slice(0, 15);
    setText(byId('flow-count'), `${shown.length} of ${formatCount(matched)} flows, seen in ${seconds} s`);
    this.#rows.show(shown, flows.length === 0 ? 'No flows yet.' : 'No such flow among the 100 largest.');
  }
}

interface TableRoute extends RouteStatus {
  readonly table: string;
}

export class Routes {
  #routes: readonly TableRoute[] = [];
  readonly #search = fieldById('route-search', HTMLInputElement);
  readonly #rows = new Rows(
    byId('routes'),
    (route: TableRoute) => JSON.stringify([route.table, route.destination, route.target, route.origin]),
    [
      header(({ destination }) => destination),
      textColumn(({ target }) => target),
      textColumn(({ table }) => table),
      textColumn(({ origin, prefix_list: list }) => (list === null ? origin : `${origin} ${list}`)),
      textColumn(({ state }) => state),
      textColumn(({ line }) => (line === null ? NOTHING : String(line)), 'number'),
    ],
  );

  constructor() {
    this.#search.addEventListener('input', () => this.#draw());
  }

  show({ tables }: RoutesStatus): void {
    this.#routes = tables.flatMap(({ name: table, routes }) => routes.map((route) => ({ ...route, table })));
    this.#draw();
  }

  #draw(): void {
    const found = this.#routes.filter((route) =>
      holds(this.#search.value, [route.destination, route.target, route.table, route.origin, route.state]),
    );
    setText(byId('route-count'), counted(found.length, this.#routes.length, 'routes'));
    this.#rows.show(found.slice(0, MOST_ROWS), 'No such route.');
  }
}

export class Rules {
  #rules: readonly RuleStatus[] = [];
  readonly #search = fieldById('rule-search', HTMLInputElement);
  readonly #never = fieldById('rule-never', HTMLInputElement);
  readonly #rows = new Rows(
    byId('rules'),
    (rule: RuleStatus) => JSON.stringify([rule.kind, rule.acl, rule.direction, rule.name]),
    [
      header(({ acl, name }) => `${acl}/${name}`),
      textColumn(({ kind }) => kind.replace('-', ' ')),
      textColumn(({ action }) => action),
      textColumn(({ direction }) => direction),
      textColumn(({ hits }) => formatCount(hits), 'number'),
      textColumn(({ denied }) => formatCount(denied), 'number'),
      textColumn(({ line }) => (line === 0 ? NOTHING : String(line)), 'number'),
    ],
  );

  constructor() {
    for (const input of [this.#search, this.#never]) input.addEventListener('input', () => this.#draw());
  }

  show({ rules }: GatewayStatus): void {
    this.#rules = rules;
    this.#draw();
  }

  #draw(): void {
    const found = this.#rules.filter(
      (rule) =>
        (!this.#never.checked || rule.hits === 0) &&
        holds(this.#search.value, [`${rule.acl}/${rule.name}`, rule.kind, rule.action, rule.direction]),
    );
    setText(byId('rule-count'), counted(found.length, this.#rules.length, 'rules'));
    this.#rows.show(found.slice(0, MOST_ROWS), this.#rules.length === 0 ? 'There are no rules.' : 'No such rule.');
  }
}

/** Whether each word of what is searched for is in one of the texts. */
function holds(search: string, texts: readonly string[]): boolean {
  const words = search.toLowerCase().split(/\s+/);
  return words.every((word) => texts.some((text) => text.toLowerCase().includes(word)));
}

function counted(found: number, all: number, what: string): string {
  const more = found > MOST_ROWS ? `, the first ${MOST_ROWS} are shown` : '';
  return found === all
    ? `${formatCount(all)} ${what}${more}`
    : `${formatCount(found)} of ${formatCount(all)} ${what}${more}`;
}

function endsOf(flow: FlowRow): string {
  const ends = [formatEnd(flow.source, flow.source_port), formatEnd(flow.destination, flow.destination_port)];
  return [formatProtocol(flow.protocol), ...ends].join(' ');
}

function shortened(texts: readonly string[]): string {
  return texts.length <= 3 ? texts.join(', ') : `${texts.slice(0, 3).join(', ')} and ${texts.length - 3} more`;
}
