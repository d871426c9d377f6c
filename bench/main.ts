/** `npm run bench`: see USAGE. */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { compareSteps } from './compare.ts';
import { CONTENDERS } from './contenders.ts';
import { CURVES, growthSteps } from './growth.ts';
import { describeMachine } from './machine.ts';
import { MEASURES } from './measures.ts';
import { microSteps } from './micro.ts';
import { readOptions, USAGE, type Options } from './options.ts';
import { reloadSteps } from './reloads.ts';
import { writeReport } from './report.ts';
import type { Results } from './results.ts';
import { shapingSteps } from './shaping.ts';
import { soakSteps } from './soak.ts';
import { Labs, workOff } from './steps.ts';
import { formatTable } from './table.ts';

const EX_USAGE = 64;
const addon = fileURLToPath(new URL('../../build/Release/isthmus.node', import.meta.url));

async function bench(options: Options): Promise<void> {
  const { rounds, seconds, quick, wanted } = options;
  const results: Results = {
    date: new Date().toISOString(),
    machine: describeMachine(addon),
    rounds,
    seconds,
    missing: [],
    failures: [],
    runs: [],
    growth: [],
    shaping: [],
    micro: [],
    soak: [],
  };
  const contenders = [];
  for (const contender of CONTENDERS.filter(({ id }) => options.against(id))) {
    const reason = await contender.missing();
    if (reason === undefined) contenders.push(contender);
    else results.missing.push({ contender: contender.label, reason });
  }
  for (const { contender, reason } of results.missing) process.stderr.write(`missing: ${contender}: ${reason}\n`);

  const labs = new Labs();
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => stop.abort());
  try {
    const measures = MEASURES.filter(({ id }) => wanted(id));
    const curves = CURVES.filter(({ id }) => wanted(id));
    const steps = [
      ...(wanted('micro') ? microSteps(quick, results) : []),
      ...compareSteps(labs, { rounds, seconds, steps: quick ? 4 : 5, contenders, measures }, results),
      ...growthSteps(labs, { rounds, seconds: Math.min(seconds, 3), quick, curves }, results),
      ...(wanted('shaping') ? shapingSteps(labs, rounds, seconds, results) : []),
      ...(wanted('reloads') ? reloadSteps(labs, quick, results) : []),
      ...(wanted('soak') ? soakSteps(labs, quick, results) : []),
    ];
    results.failures.push(...(await workOff(steps, stop.signal)));
  } finally {
    await labs.dispose();
  }
  if (stop.signal.aborted) return;
  process.stdout.write(formatTable(results));
  if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(results, null, 2)}\n`);
  if (options.report !== undefined) process.stderr.write(`report: ${writeReport(options.report, results)}\n`);
  if (results.failures.length > 0 || results.soak.some(({ passed }) => !passed)) process.exitCode = 1;
}

const options = readOptions(process.argv.slice(2));
if (typeof options === 'string') {
  process.stderr.write(`${options}\n\n${USAGE}`);
  process.exitCode = EX_USAGE;
} else if (options.help) {
  process.stdout.write(USAGE);
} else {
  await bench(options);
}
