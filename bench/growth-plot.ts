/** Throughput and round trip against the number of routes, rules, flows and peers: two rows of small plots. */
import { CURVES, type Curve } from './growth.ts';
import { summarize, type Results, type Summary } from './results.ts';
import { element, line, picture, text } from './svg.ts';

const PANEL = { width: 190, height: 130, left: 52, top: 74, gapX: 52, gapY: 56 } as const;

interface Row {
  readonly figure: 'tcp' | 'ping';
  readonly label: string;
  readonly kind: string;
}

const ROWS: readonly Row[] = [
  { figure: 'tcp', label: 'TCP, 1 stream, Gbit/s', kind: 'one' },
  { figure: 'ping', label: 'ping, ms', kind: 'two' },
];

interface Point {
  readonly size: number;
  readonly summary: Summary;
}

export function growthPlot(results: Results): string {
  const curves = CURVES.filter(({ id }) => results.growth.some(({ curve }) => curve === id));
  const panels = ROWS.flatMap((row, down) => {
    const points = curves.map((curve) => pointsOf(results, curve, row));
    const most = niceAbove(Math.max(...points.flat().map(({ summary }) => summary.max), 0.001));
    return curves.map((curve, across) => {
      const x = PANEL.left + across * (PANEL.width + PANEL.gapX);
      const y = PANEL.top + down * (PANEL.height + PANEL.gapY);
      const name = down === 0 ? text(x + PANEL.width / 2, y - 14, 'middle', `by ${curve.label}`) : '';
      return name + panel(x, y, points[across], most, row);
    });
  });
  const labels = ROWS.map(({ label }, down) =>
    text(16, PANEL.top + down * (PANEL.height + PANEL.gapY) - (down === 0 ? 32 : 14), 'faint', label),
  );
  const width = PANEL.left + curves.length * (PANEL.width + PANEL.gapX) - PANEL.gapX / 2;
  const height = PANEL.top + ROWS.length * (PANEL.height + PANEL.gapY);
  const title = text(16, 26, 'title', 'What grows, and what it costs (median, and range over the rounds)');
  return picture(
    Math.max(width, 520),
    height,
    'Throughput and ping by routes, rules, flows and peers',
    title + labels.join('') + panels.join(''),
  );
}

function pointsOf(results: Results, curve: Curve, { figure }: Row): Point[] {
  const scale = figure === 'tcp' ? 1000 : 1;
  return curve.sizes
    .concat(curve.quickSizes)
    .toSorted((a, b) => a - b)
    .flatMap((size, index, sizes) => {
      if (size === sizes[index - 1]) return [];
      const runs = results.growth.filter((run) => run.curve === curve.id && run.size === size && run.figure === figure);
      const summary = summarize(runs.map(({ value }) => value / scale));
      return summary === undefined ? [] : [{ size, summary }];
    });
}

function panel(left: number, top: number, points: readonly Point[], most: number, { kind }: Row): string {
  const sizes = points.map(({ size }) => Math.log10(size));
  const [first, last] = [Math.min(...sizes), Math.max(...sizes)];
  const x = (size: number): number =>
    left + 8 + ((Math.log10(size) - first) / (last - first || 1)) * (PANEL.width - 16);
  const y = (value: number): number => top + PANEL.height * (1 - value / most);
  const grid = [0, 0.5, 1].map(
    (share) =>
      line(left, y(most * share), left + PANEL.width, y(most * share), 'grid') +
      text(left - 6, y(most * share) + 4, 'faint end', String(Number((most * share).toPrecision(3)))),
  );
  const marks = points.map(
    ({ size, summary }) =>
      line(x(size), y(summary.min), x(size), y(summary.max), `whisker ${kind}`) +
      element('circle', { cx: x(size), cy: y(summary.median), r: 3.5, class: kind }) +
      text(x(size), top + PANEL.height + 18, 'faint middle', sizeText(size)),
  );
  const path = points.map(({ size, summary }) => `${x(size).toFixed(1)},${y(summary.median).toFixed(1)}`).join(' ');
  return [...grid, element('polyline', { points: path, class: `line ${kind}`, style: 'fill: none' }), ...marks].join(
    '',
  );
}

function sizeText(size: number): string {
  if (size >= 1e6) return `${size / 1e6}M`;
  return size >= 1000 ? `${size / 1000}k` : String(size);
}

/** 1, 2, 5 and so on, the next above a value. */
function niceAbove(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  return power * ([1, 2, 5, 10].find((step) => step * power >= value) ?? 10);
}
