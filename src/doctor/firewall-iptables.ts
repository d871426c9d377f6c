/** The filter table of iptables-legacy, from what `iptables-save` prints. */
import type { Chain, Condition, Field, Rule } from './firewall.ts';

const HOOKS: Readonly<Partial<Record<string, string>>> = { INPUT: 'input', OUTPUT: 'output', FORWARD: 'forward' };
const FIELDS: Readonly<Partial<Record<string, Field>>> = {
  ...{ '-i': 'input', '-o': 'output', '-s': 'source', '-d': 'destination', '-p': 'protocol' },
  ...{ '--dport': 'port', '--dports': 'port', '--sport': 'sourcePort', '--sports': 'sourcePort' },
  ...{ '--ctstate': 'state', '--state': 'state' },
};
const VERDICTS: Readonly<Partial<Record<string, Rule['verdict']>>> = {
  ...{ ACCEPT: 'accept', DROP: 'drop', REJECT: 'drop', RETURN: 'return', LOG: 'none', NFLOG: 'none' },
};

/** Chains by their names, `iptables FORWARD` or `ip6tables FORWARD`. */
export function readIptables(text: string, family: 4 | 6): Map<string, Chain> {
  const program = family === 4 ? 'iptables' : 'ip6tables';
  const chains = new Map<string, Chain & { readonly rules: Rule[] }>();
  let table = '';
  for (const line of text.split('\n')) {
    if (line.startsWith('*')) table = line.slice(1).trim();
    if (table !== 'filter') continue;
    const declared = /^:(\S+) (\S+)/.exec(line);
    if (declared !== null) {
      const [, own, policy] = declared;
      const name = `${program} ${own}`;
      chains.set(name, {
        ...{ name, families: [family], hook: HOOKS[own], policy: policy === 'DROP' ? 'drop' : 'accept', rules: [] },
        ...{ insert: `${program} -I ${own} % -j ACCEPT`, syntax: 'iptables' },
      });
    }
    const rule = /^-A (\S+) ?(.*)$/.exec(line);
    if (rule !== null) chains.get(`${program} ${rule[1]}`)?.rules.push(ruleOf(rule[2], program));
  }
  return chains;
}

function ruleOf(text: string, program: string): Rule {
  const words = text.match(/"[^"]*"|\S+/g) ?? [];
  const conditions: Condition[] = [];
  let verdict: Rule['verdict'] = 'none';
  let negated = false;
  for (let at = 0; at < words.length; at++) {
    const word = words[at];
    if (word === '!') {
      negated = true;
      continue;
    }
    const field = FIELDS[word];
    if (field !== undefined) {
      conditions.push({ field, negated, values: valuesOf(field, words[++at]) });
    } else if (word === '-j' || word === '-g') {
      const target = words[++at];
      verdict = VERDICTS[target] ?? { chain: `${program} ${target}`, isGoto: word === '-g' };
    } else if (word === '-m' || word === '--comment') {
      at++;
    } else if (word.startsWith('-')) {
      // A condition, or a detail of the target: only the former matters.
      if (verdict === 'none') conditions.push({ field: 'unknown', negated: false, values: [] });
    }
    negated = false;
  }
  return { text, conditions, verdict };
}

function valuesOf(field: Field, text: string): string[] {
  if (field === 'port' || field === 'sourcePort') return text.replaceAll(':', '-').split(',');
  if (field === 'state') return text.toLowerCase().split(',');
  return text.replace(/\+$/, '*').split(',');
}
