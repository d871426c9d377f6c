/** The ruleset of nftables, from what `nft -j list ruleset` prints (libnftables-json(5)). iptables-nft's rules are in it. */
import type { Chain, Condition, Field, Rule } from './firewall.ts';

type Json = Readonly<Record<string, unknown>>;

const FAMILIES: Readonly<Partial<Record<string, readonly (4 | 6)[]>>> = { ip: [4], ip6: [6], inet: [4, 6] };

/** Chains by their names, `family table chain`. What is no filter is left out. */
export function readNft(document: unknown): Map<string, Chain> {
  const chains = new Map<string, Chain & { readonly rules: Rule[] }>();
  const items = (isObject(document) ? document['nftables'] : undefined) ?? [];
  for (const item of items as Json[]) {
    if (isObject(item['chain'])) addChain(chains, item['chain']);
    if (!isObject(item['rule'])) continue;
    const { family, table, chain, expr } = item['rule'] as Record<string, string> & { expr: Json[] };
    chains.get(`${family} ${table} ${chain}`)?.rules.push(...rulesOf(expr, `${family} ${table}`));
  }
  return chains;
}

function addChain(chains: Map<string, Chain & { readonly rules: Rule[] }>, chain: Json): void {
  const { family, table, name: own, hook, type, policy } = chain as Record<string, string | undefined>;
  const families = FAMILIES[family ?? ''];
  if (families === undefined || (type !== undefined && type !== 'filter')) return;
  const name = `${family} ${table} ${own}`;
  chains.set(name, {
    ...{ name, families, hook, policy: policy === 'drop' ? 'drop' : 'accept', rules: [] },
    ...{ insert: `nft insert rule ${name} % accept`, syntax: 'nft' },
  });
}

/** One rule; of one with a verdict map, one for each of its verdicts. */
function rulesOf(expressions: readonly Json[], table: string): Rule[] {
  const conditions: Condition[] = [];
  for (const expression of expressions) {
    const [kind, value] = Object.entries(expression)[0];
    if (kind === 'match') conditions.push(...conditionsOf(value as Json));
    else if (kind === 'vmap') return mapped(value as Json, conditions, table, textOf(expressions));
    else if (kind === 'counter' || kind === 'log' || kind === 'comment') continue;
    else {
      const verdict = verdictOf(kind, value, table);
      if (verdict !== undefined) return [{ text: textOf(expressions), conditions, verdict }];
      conditions.push(unknown());
    }
  }
  return [{ text: textOf(expressions), conditions, verdict: 'none' }];
}

function verdictOf(kind: string, value: unknown, table: string): Rule['verdict'] | undefined {
  if (kind === 'accept' || kind === 'drop' || kind === 'return') return kind;
  if (kind === 'reject') return 'drop';
  if (kind !== 'jump' && kind !== 'goto') return undefined;
  return { chain: `${table} ${String((value as Json)['target'])}`, isGoto: kind === 'goto' };
}

function mapped({ key, data }: Json, before: readonly Condition[], table: string, text: string): Rule[] {
  const pairs = isObject(data) ? data['set'] : undefined;
  if (!Array.isArray(pairs)) return [{ text, conditions: [...before, unknown()], verdict: 'accept' }];
  return (pairs as [unknown, Json][]).map(([value, action]) => {
    const [kind, target] = Object.entries(action)[0];
    const verdict = verdictOf(kind, target, table) ?? 'none';
    return { text, verdict, conditions: [...before, ...conditionsOf({ op: '==', left: key, right: value })] };
  });
}

function conditionsOf({ op, left, right }: Json): Condition[] {
  const place = placeOf(left as Json);
  const values = namedValuesOf(left as Json, right);
  if (place === undefined || values === undefined || !['==', '!=', 'in'].includes(String(op))) return [unknown()];
  return [...place.implied, { field: place.field, negated: op === '!=', values }];
}

function placeOf(left: Json): { field: Field; implied: Condition[] } | undefined {
  const { meta, payload, ct } = left as Record<string, Record<string, string> | undefined>;
  if (meta !== undefined) {
    const fields: Readonly<Partial<Record<string, Field>>> = {
      ...{ iifname: 'input', iif: 'input', oifname: 'output', oif: 'output', l4proto: 'protocol', nfproto: 'family' },
    };
    const field = fields[meta['key']];
    return field === undefined ? undefined : { field, implied: [] };
  }
  if (ct !== undefined) return ct['key'] === 'state' ? { field: 'state', implied: [] } : undefined;
  if (payload === undefined) return undefined;
  const { protocol, field } = payload;
  if (protocol === 'ip' || protocol === 'ip6') {
    const implied = [is('family', protocol === 'ip' ? '4' : '6')];
    if (field === 'saddr') return { field: 'source', implied };
    if (field === 'daddr') return { field: 'destination', implied };
    if (field === 'protocol' || field === 'nexthdr') return { field: 'protocol', implied };
    return { field: 'unknown', implied };
  }
  const implied = protocol === 'th' ? [] : [is('protocol', protocol)];
  const ports: Readonly<Partial<Record<string, Field>>> = { dport: 'port', sport: 'sourcePort' };
  return { field: ports[field] ?? 'unknown', implied };
}

/** On a host without `/etc/protocols` (Debian's netbase) nft prints protocols as numbers. */
const PROTOCOL_NAMES: Readonly<Partial<Record<string, string>>> = { 1: 'icmp', 6: 'tcp', 17: 'udp', 58: 'ipv6-icmp' };

function namedValuesOf(left: Json, right: unknown): string[] | undefined {
  const values = valuesOf(right);
  return placeOf(left)?.field === 'protocol' ? values?.map((value) => PROTOCOL_NAMES[value] ?? value) : values;
}

/** Undefined for what can't be read here, such as a named set. */
function valuesOf(right: unknown): string[] | undefined {
  if (typeof right === 'number') return [String(right)];
  if (typeof right === 'string') return right.startsWith('@') ? undefined : [FAMILY_NAMES[right] ?? right];
  if (Array.isArray(right)) return together(right);
  if (!isObject(right)) return undefined;
  if (isObject(right['prefix'])) return [`${String(right['prefix']['addr'])}/${String(right['prefix']['len'])}`];
  if (Array.isArray(right['range'])) return rangeOf(right['range']);
  if (Array.isArray(right['set'])) return together(right['set']);
  return undefined;
}

const FAMILY_NAMES: Readonly<Partial<Record<string, string>>> = { ipv4: '4', ipv6: '6' };

function together(items: readonly unknown[]): string[] | undefined {
  const values = items.map(valuesOf);
  return values.includes(undefined) ? undefined : (values as string[][]).flat();
}

/** Of ports; a range of addresses can't be read here. */
function rangeOf(ends: readonly unknown[]): string[] | undefined {
  return ends.every((end) => typeof end === 'number') ? [ends.join('-')] : undefined;
}

function textOf(expressions: readonly Json[]): string {
  return expressions.flatMap(wordsOf).join(' ');
}

function wordsOf(expression: Json): string[] {
  const [kind, value] = Object.entries(expression)[0];
  if (kind === 'counter') return [];
  if (kind === 'jump' || kind === 'goto') return [`${kind} ${String((value as Json)['target'])}`];
  if (kind !== 'match') return [kind];
  const { op, left, right } = value as Json;
  const place = Object.values(left as Json)[0] as Record<string, string>;
  const name = 'field' in place ? `${place['protocol']} ${place['field']}` : place['key'];
  return [`${name} ${op === '!=' ? '!= ' : ''}${(namedValuesOf(left as Json, right) ?? ['?']).join(',')}`];
}

function is(field: Field, ...values: string[]): Condition {
  return { field, negated: false, values };
}

function unknown(): Condition {
  return is('unknown');
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
