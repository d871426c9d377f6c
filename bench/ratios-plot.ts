/** How many times better than wireguard-go: bars. */
import { CONTENDERS, WIREGUARD } from './contenders.ts';
import { MEASURES } from './measures.ts';
import { summaryOf, type Results } from './results.ts';
import { element, line, picture, text } from './svg.ts';

const WIDTH = 800;
const LABELS = 250;
const TOP = 84;
const BAR = 13;
const GAP = 12;
const PLOT = WIDTH - LABELS - 70;
const BARS = [
  { contender: 'isthmus-aes', kind: 'one' },
  { contender: 'isthmus-chacha', kind: 'two' },
] as const;
/** Of what it takes to be installed and started, the table tells. */
const LEFT_OUT = ['memory', 'start', 'handshakes'];

interface Ratio {
  readonly kind: string;
  /** Above 1 is better than wireguard-go. */
  readonly times: number;
}

export function ratiosPlot(results: Results): string {
  const rows = MEASURES.filter(({ id }) => !LEFT_OUT.includes(id)).flatMap(({ id, label, better }) => {
    const base = summaryOf(results, id, WIREGUARD)?.median;
    if (base === undefined) return [];
    const ratios = BARS.flatMap(({ contender, kind }): Ratio[] => {
      const value = summaryOf(results, id, contender)?.median;
      if (value === undefined || value === 0 || base === 0) return [];
      return [{ kind, times: better === 'more' ? value / base : base / value }];
    });
    return ratios.length === 0 ? [] : [{ label, ratios }];
  });
  const most = Math.ceil(Math.max(2, ...rows.flatMap(({ ratios }) => ratios.map(({ times }) => times))));
  const x = (times: number): number => LABELS + (times / most) * PLOT;
  const rowHeight = BARS.length * (BAR + 2) + GAP;
  const bottom = TOP + rows.length * rowHeight;

  const tick = Math.ceil(most / 8);
  const ticks = Array.from({ length: Math.floor(most / tick) + 1 }, (_, number) => number * tick);
  const grid = ticks.map(
    (times) =>
      line(x(times), TOP - 8, x(times), bottom, 'grid') + text(x(times), bottom + 18, 'faint middle', `${times}×`),
  );
  const bars = rows.map(({ label, ratios }, row) => {
    const y = TOP + row * rowHeight;
    const name = text(LABELS - 12, y + ratios.length * (BAR / 2 + 1) + 4, 'end', label);
    return name + ratios.map((ratio, number) => bar(ratio, y + number * (BAR + 2))).join('');
  });
  function bar({ kind, times }: Ratio, y: number): string {
    const width = Math.max(1, x(times) - LABELS);
    const rect = element('rect', { x: LABELS, y, width, height: BAR, rx: 2, class: kind });
    return rect + text(LABELS + width + 6, y + BAR - 2, 'faint', `${times.toFixed(times < 10 ? 2 : 1)}×`);
  }
  const legend = BARS.map(({ contender, kind }, number) => {
    const at = LABELS + number * 190;
    const { label } = CONTENDERS.find(({ id }) => id === contender)!;
    return element('rect', { x: at, y: 40, width: 12, height: 12, rx: 2, class: kind }) + text(at + 18, 50, '', label);
  });
  const title = text(16, 26, 'title', 'Times better than wireguard-go (dashed: as good)');
  const base = line(x(1), TOP - 8, x(1), bottom, 'base');
  const content = [title, ...legend, ...grid, ...bars, base].join('');
  return picture(WIDTH, bottom + 34, 'Isthmus compared with wireguard-go, times better by measure', content);
}
