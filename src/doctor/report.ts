/** What a doctor found, as text for people. */
import type { Finding } from './findings.ts';

const LABELS = { fault: 'FAULT', warning: 'warning', hint: 'hint', ok: 'ok' } as const;
const INDENT = ' '.repeat(9);

/** `subject`: what was looked at. `verbose`: with the checks that found nothing wrong. */
export function formatReport(subject: string, findings: readonly Finding[], verbose: boolean): string {
  const passed = findings.filter(({ severity }) => severity === 'ok');
  const shown = findings.filter(({ severity }) => verbose || severity !== 'ok');
  const wrong = findings.filter(({ severity }) => severity === 'fault').length;
  const verdict = wrong === 0 ? 'nothing is wrong' : `${wrong} ${wrong === 1 ? 'fault' : 'faults'}`;
  const more = verbose || passed.length === 0 ? '' : `; ${passed.length} checks are good (-v shows them)`;
  return `${[subject, ...shown.map(formatFinding), `${verdict}${more}`].join('\n')}\n`;
}

function formatFinding({ id, severity, peering, seen, why, fix, because }: Finding): string {
  const place = peering === null ? id : `${id}, peering ${peering}`;
  return [
    `${LABELS[severity].padEnd(INDENT.length)}${place}: ${seen}`,
    ...(because.length === 0 ? [] : [`${INDENT}probably because of: ${because.join(', ')}`]),
    ...(why === '' ? [] : [INDENT + why]),
    ...(fix === null || fix === '' ? [] : fix.split('\n').map((line) => `${INDENT}> ${line}`)),
  ].join('\n');
}
