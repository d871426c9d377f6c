/** The results for the terminal. */
import { CONTENDERS, REFERENCE, WIREGUARD } from './contenders.ts';
import { CURVES } from './growth.ts';
import { MEASURES } from './measures.ts';
import { digits, heldRate, shapedRates, summarize, summaryOf, type Results } from './results.ts';

export function formatTable(results: Results): string {
  const blocks = [
    comparison(results),
    growth(results),
    shaping(results),
    micro(results),
    soak(results),
    remarks(results),
  ];
  return blocks.filter((block) => block !== '').join('\n');
}

function comparison(results: Results): string {
  const blocks: string[] = [];
  for (const { id, label, unit, better } of MEASURES) {
    const rows = CONTENDERS.flatMap((contender) => {
      const summary = summaryOf(results, id, contender.id);
      if (summary === undefined) return [];
      const spread = `${digits(summary.min)} .. ${digits(summary.max)}`;
      const ratios = [WIREGUARD, REFERENCE].map((base) =>
        ratioText(summary.median, summaryOf(results, id, base)?.median),
      );
      return [row(contender.label, digits(summary.median), spread, ...ratios)];
    });
    if (rows.length === 0) continue;
    const title = row(`${label}, ${unit}, ${better} is better`, 'median', 'spread', '/wireguard-go', '/reference');
    blocks.push(title + rows.join(''));
  }
  return blocks.join('\n');
}

function row(label: string, median: string, spread: string, ...ratios: string[]): string {
  const name = label.padEnd(56);
  return `${name}${median.padStart(10)}${spread.padStart(24)}${ratios.map((text) => text.padStart(14)).join('')}\n`;
}

/** A value as a multiple of another contender's. */
export function ratioText(value: number, base: number | undefined): string {
  return base === undefined || base === 0 ? '-' : `${digits(value / base)}x`;
}

function growth(results: Results): string {
  return CURVES.map(({ id, label, sizes }) => {
    const rows = sizes.flatMap((size) => {
      const text = (figure: string): string => {
        const runs = results.growth.filter((run) => run.curve === id && run.size === size && run.figure === figure);
        const summary = summarize(runs.map(({ value }) => value));
        return summary === undefined ? '-' : digits(summary.median);
      };
      const [tcp, ping, memory] = ['tcp', 'ping', 'memory'].map(text);
      if (tcp === '-') return [];
      const name = size.toLocaleString('en-US');
      return [`${name.padStart(12)}${tcp.padStart(14)}${ping.padStart(12)}${memory.padStart(12)}\n`];
    });
    if (rows.length === 0) return '';
    return `${label.padStart(12)}${'TCP, Mbit/s'.padStart(14)}${'ping, ms'.padStart(12)}${'MiB'.padStart(12)}\n${rows.join('')}`;
  })
    .filter((block) => block !== '')
    .join('\n');
}

function shaping(results: Results): string {
  const rows = shapedRates(results).map(({ rate, figure }) => {
    const rates = (['tcp', 'udp'] as const).map((name) => heldRate(figure(name), rate).padStart(20));
    const pings = (['ping-expedited', 'ping-plain'] as const).map((name) => digits(figure(name)!).padStart(14));
    return `${`${rate} Mbit/s`.padStart(16)}${rates.join('')}${pings.join('')}\n`;
  });
  if (rows.length === 0) return '';
  const columns = ['TCP, Mbit/s', 'UDP, Mbit/s'].map((text) => text.padStart(20));
  return `${'shaped to'.padStart(16)}${columns.join('')}${'ping, EF, ms'.padStart(14)}${'ping, ms'.padStart(14)}\n${rows.join('')}`;
}

function micro(results: Results): string {
  const rows = results.micro.map(({ name, ns }) => {
    const { median, min, max } = summarize(ns)!;
    return `${name.padEnd(56)}${digits(median).padStart(10)}${`${digits(min)} .. ${digits(max)}`.padStart(24)}\n`;
  });
  return rows.length === 0
    ? ''
    : `${'hot functions, ns'.padEnd(56)}${'median'.padStart(10)}${'spread'.padStart(24)}\n${rows.join('')}`;
}

function soak(results: Results): string {
  return results.soak
    .map(({ name, passed, detail }) => `${passed ? 'ok    ' : 'FAILED'} ${name}: ${detail}\n`)
    .join('');
}

function remarks(results: Results): string {
  const missing = results.missing.map(({ contender, reason }) => `missing: ${contender}: ${reason}\n`);
  const failures = results.failures.map((failure) => `failed: ${failure}\n`);
  return [...missing, ...failures].join('');
}
