/** The report: Markdown with its plots and the runs themselves beside it. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CONTENDERS, REFERENCE, WIREGUARD } from './contenders.ts';
import { growthPlot } from './growth-plot.ts';
import { CURVES } from './growth.ts';
import { MEASURES } from './measures.ts';
import { ratiosPlot } from './ratios-plot.ts';
import { digits, heldRate, shapedRates, summarize, summaryOf, type Results } from './results.ts';
import { ratioText } from './table.ts';

/** Writes report.md, ratios.svg, growth.svg and results.json into a folder; gives the report's path. */
export function writeReport(folder: string, results: Results): string {
  mkdirSync(folder, { recursive: true });
  const write = (name: string, content: string): void => writeFileSync(join(folder, name), content);
  write('results.json', `${JSON.stringify(results, null, 1)}\n`);
  if (results.runs.length > 0) write('ratios.svg', ratiosPlot(results));
  if (results.growth.length > 0) write('growth.svg', growthPlot(results));
  write('report.md', report(results));
  return join(folder, 'report.md');
}

function report(results: Results): string {
  const parts = [
    head(results),
    comparison(results),
    spread(results),
    growth(results),
    shaping(results),
    micro(results),
    soak(results),
  ];
  return `${parts.filter((part) => part !== '').join('\n\n')}\n`;
}

function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const rule = header.map((_, column) => (column === 0 ? '---' : '---:'));
  return [header, rule, ...rows].map(line).join('\n');
}

function head({ date, machine, rounds, seconds, missing, failures }: Results): string {
  const { cpu, cores, memory_gib, kernel, node, aead, iperf3 } = machine;
  const notes = [
    ...missing.map(({ contender, reason }) => `Missing: ${contender}: ${reason}.`),
    ...failures.map((failure) => `Failed: ${failure}.`),
  ];
  return `# Benchmark of ${date.slice(0, 10)}

${cpu}, ${cores} cores, ${memory_gib} GiB; Linux ${kernel}; Node ${node}; ${aead}; iperf3 ${iperf3}. Private host, gateway,
gateway and private host are network namespaces on that one machine, which does the work of all four: the ratios are what to
look at, not the figures. ${rounds} interleaved ${rounds === 1 ? 'round' : 'rounds'}, ${seconds} s a run, medians. Isthmus runs with everything on: an ACL of 50
rules of which the last decides, flow state, counters, rekeying.${notes.length > 0 ? `\n\n${notes.join('\n')}` : ''}`;
}

function comparison(results: Results): string {
  const contenders = CONTENDERS.filter(({ id }) => results.runs.some((run) => run.contender === id));
  if (contenders.length === 0) return '';
  const rows = MEASURES.filter(({ id }) => results.runs.some((run) => run.measure === id)).map(
    ({ id, label, unit, better }) => [
      `${label}, ${unit}${better === 'less' ? ' (less is better)' : ''}`,
      ...contenders.map((contender) => {
        const value = summaryOf(results, id, contender.id)?.median;
        if (value === undefined) return '';
        if (!contender.id.startsWith('isthmus')) return digits(value);
        const base = summaryOf(results, id, WIREGUARD)?.median;
        return base === undefined ? digits(value) : `**${digits(value)}** (${ratioText(value, base)})`;
      }),
    ],
  );
  const lead = isthmusToReference(results);
  return `## Compared

In brackets, what Isthmus does as a multiple of wireguard-go.${lead}

![Times better than wireguard-go](ratios.svg)

${table(['', ...contenders.map(({ label }) => label)], rows)}`;
}

function isthmusToReference(results: Results): string {
  const ratio = (contender: string): string => {
    const value = summaryOf(results, 'tcp1', contender)?.median;
    return value === undefined ? '-' : ratioText(value, summaryOf(results, 'tcp1', REFERENCE)?.median);
  };
  const [aes, chacha] = ['isthmus-aes', 'isthmus-chacha'].map(ratio);
  if (aes === '-' && chacha === '-') return '';
  return ` One TCP stream is ${aes} (AES-256-GCM) and ${chacha} (ChaCha20-Poly1305) the
reference configuration's.`;
}

function spread(results: Results): string {
  const rows = MEASURES.flatMap(({ id, label, unit }) =>
    CONTENDERS.flatMap((contender) => {
      const summary = summaryOf(results, id, contender.id);
      if (summary === undefined) return [];
      const ratios = [WIREGUARD, REFERENCE].map((base) =>
        ratioText(summary.median, summaryOf(results, id, base)?.median),
      );
      const { median, min, max } = summary;
      return [[label, contender.label, unit, digits(median), `${digits(min)} to ${digits(max)}`, ...ratios]];
    }),
  );
  if (rows.length === 0) return '';
  return `<details><summary>Every measure of every contender, with its spread</summary>

${table(['', 'contender', 'unit', 'median', 'spread', 'to wireguard-go', 'to the reference'], rows)}

</details>`;
}

function growth(results: Results): string {
  if (results.growth.length === 0) return '';
  const rows = CURVES.flatMap(({ id, label }) => {
    const sizes = [...new Set(results.growth.filter(({ curve }) => curve === id).map(({ size }) => size))];
    return sizes.map((size) => {
      const figures = (['tcp', 'ping', 'memory'] as const).map((figure) => {
        const runs = results.growth.filter((run) => run.curve === id && run.size === size && run.figure === figure);
        const summary = summarize(runs.map(({ value }) => value));
        return summary === undefined
          ? ''
          : `${digits(summary.median)} (${digits(summary.min)} to ${digits(summary.max)})`;
      });
      return [`${size.toLocaleString('en-US')} ${label}`, ...figures];
    });
  });
  return `## Growth

One TCP stream, idle ping and resident memory of a gateway, with the number of something growing. Routes and peers are
those of a plain device, rules and flows a gateway's.

![Growth](growth.svg)

${table(['', 'TCP, Mbit/s', 'ping, ms', 'memory, MiB'], rows)}`;
}

function shaping(results: Results): string {
  if (results.shaping.length === 0) return '';
  const rows = shapedRates(results).map(({ rate, figure }) => [
    `${rate} Mbit/s`,
    ...(['tcp', 'udp'] as const).map((name) => heldRate(figure(name), rate)),
    ...(['ping-expedited', 'ping-plain'] as const).map((name) => digits(figure(name)!)),
  ]);
  return `## Shaping

What passes of a TCP stream, and of 1.3 times as much UDP where this machine sends that much, in Mbit/s of IP packets as a shape counts them; and the average
ping beside four TCP streams, in a class of its own (EF) and in that of the streams.

${table(['', 'TCP', 'UDP', 'ping, EF, ms', 'ping, ms'], rows)}`;
}

function micro(results: Results): string {
  if (results.micro.length === 0) return '';
  const rows = results.micro.map(({ name, ns }) => {
    const { median, min, max } = summarize(ns)!;
    return [name, digits(median), `${digits(min)} to ${digits(max)}`];
  });
  return `## Hot functions

In nanoseconds per operation, in one process, without a network.

${table(['', 'median', 'spread'], rows)}`;
}

function soak(results: Results): string {
  if (results.soak.length === 0) return '';
  const rows = results.soak.map(({ name, passed, detail }) => [name, passed ? 'ok' : '**failed**', detail]);
  return `## Endurance

Rekeying every 10 s, content compared from end to end; and reloads under iperf3.

${table(['', '', ''], rows)}`;
}
