/** Lines over time: a small one for a table, a large one with axes. */
import { svg, setAttribute, setText } from './dom.ts';
import type { Series } from './history.ts';
import { latest } from './history.ts';
import { linePath, niceTop } from './lines.ts';
import { formatBits, formatSeconds } from './units.ts';

const SPARK = { width: 96, height: 24, length: 60 };

/** Draws both directions into a cell; the numbers beside it say the same, so it is left out of what is read aloud. */
export function drawSparkline(cell: HTMLElement, { rx, tx }: Series): void {
  if (cell.firstElementChild === null) {
    const frame = { viewBox: `0 -1 ${SPARK.width} ${SPARK.height + 2}`, class: 'spark', 'aria-hidden': 'true' };
    cell.append(svg('svg', frame, svg('path', { class: 'line in' }), svg('path', { class: 'line out' })));
  }
  const [inLine, outLine] = cell.querySelectorAll('path');
  const most = Math.max(1000, ...rx.slice(-SPARK.length), ...tx.slice(-SPARK.length));
  setAttribute(inLine, 'd', linePath(rx.slice(-SPARK.length), most, SPARK));
  setAttribute(outLine, 'd', linePath(tx.slice(-SPARK.length), most, SPARK));
}

const PLOT = { width: 640, height: 170, left: 84, top: 10 };
const LEVELS = [0, 0.25, 0.5, 0.75, 1];

/** The large chart. `length`: samples, a second each. */
export class Chart {
  readonly #root: SVGSVGElement;
  readonly #length: number;
  readonly #lines: Readonly<Record<'inArea' | 'outArea' | 'in' | 'out', SVGPathElement>>;
  readonly #levels: readonly SVGTextElement[];

  constructor(parent: HTMLElement, length: number) {
    this.#length = length;
    const { width, height, left, top } = PLOT;
    const path = (kind: string): SVGPathElement => svg('path', { class: kind });
    this.#lines = { inArea: path('area in'), outArea: path('area out'), in: path('line in'), out: path('line out') };
    const y = (level: number): number => top + height * (1 - level);
    this.#levels = LEVELS.map((level) => svg('text', { x: left - 10, y: y(level) + 4, class: 'axis end' }));
    const grid = LEVELS.map((level) => {
      return svg('line', { x1: left, x2: left + width, y1: y(level), y2: y(level), class: 'grid' });
    });
    const times = [length, length / 2, 0].map((ago, at) => {
      const words = ago === 0 ? 'now' : `${formatSeconds(ago)} ago`;
      const place = { x: left + (width * at) / 2, y: top + height + 20 };
      return svg('text', { ...place, class: `axis ${['start', 'middle', 'end'][at]}` }, words);
    });
    const plot = svg('g', { transform: `translate(${left} ${top})` }, ...Object.values(this.#lines));
    const frame = { viewBox: `0 0 ${left + width + 8} ${top + height + 28}`, role: 'img', class: 'chart' };
    this.#root = svg('svg', frame, ...grid, ...this.#levels, ...times, plot);
    parent.append(this.#root);
  }

  /** `name`: whose throughput it is. */
  draw(name: string, { rx, tx }: Series): void {
    const top = niceTop(Math.max(10_000, ...rx, ...tx));
    const size = { ...PLOT, length: this.#length };
    this.#levels.forEach((text, at) => setText(text, at === 0 ? '0' : formatBits(top * LEVELS[at])));
    this.#lines.in.setAttribute('d', linePath(rx, top, size));
    this.#lines.out.setAttribute('d', linePath(tx, top, size));
    this.#lines.inArea.setAttribute('d', linePath(rx, top, size, true));
    this.#lines.outArea.setAttribute('d', linePath(tx, top, size, true));
    const now = `in ${formatBits(latest(rx))}, out ${formatBits(latest(tx))}`;
    const most = formatBits(Math.max(0, ...rx, ...tx));
    setAttribute(this.#root, 'aria-label', `Throughput of ${name}: now ${now}; the most was ${most}`);
  }
}
