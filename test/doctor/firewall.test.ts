import test from 'ava';
import { findDrop, type Packet, type Ruleset } from '../../src/doctor/firewall.ts';
import { readIptables } from '../../src/doctor/firewall-iptables.ts';
import { readNft } from '../../src/doctor/firewall-nft.ts';

const FORWARD: Packet = {
  ...{ family: 4, input: 'ist0', output: 'eth0', source: '192.168.0.1', destination: '172.31.0.1' },
};
const INPUT: Packet = {
  family: 4,
  input: 'eth0',
  source: '203.0.113.7',
  protocol: 'udp',
  port: 51820,
  sourcePort: 51820,
};
const CALLER: Packet = { family: 4, protocol: 'udp', port: 51820 };

/** Base chain `f` of table `inet t` at a hook, with these rules, each a list of expressions. */
function nft(
  hook: string,
  policy: string,
  rules: object[][],
  more: Readonly<Record<string, object[][]>> = {},
): Ruleset {
  const rule = (chain: string) => (expr: object[]) => ({ rule: { family: 'inet', table: 't', chain, expr } });
  return readNft({
    nftables: [
      { metainfo: { json_schema_version: 1 } },
      { table: { family: 'inet', name: 't' } },
      ...Object.keys(more).map((name) => ({ chain: { family: 'inet', table: 't', name } })),
      { chain: { family: 'inet', table: 't', name: 'f', type: 'filter', hook, prio: 0, policy } },
      { chain: { family: 'inet', table: 't', name: 'n', type: 'nat', hook, prio: 0, policy: 'drop' } },
      ...rules.map(rule('f')),
      ...Object.entries(more).flatMap(([name, own]) => own.map(rule(name))),
    ],
  });
}

const meta = (key: string, right: unknown, op = '==') => ({ match: { op, left: { meta: { key } }, right } });
const field = (protocol: string, name: string, right: unknown, op = '==') => ({
  match: { op, left: { payload: { protocol, field: name } }, right },
});
const state = (right: unknown) => ({ match: { op: 'in', left: { ct: { key: 'state' } }, right } });
const accept = { accept: null };
const drop = { drop: null };
const jump = (target: string) => ({ jump: { target } });

/** `sure`, `perhaps`, or `passes`. */
function judged(ruleset: Ruleset, packet: Packet, hooks = ['input', 'forward']): string {
  const found = findDrop(ruleset, hooks, packet);
  return found === undefined ? 'passes' : found.isSure ? 'sure' : 'perhaps';
}

for (const [what, packet, policy, rules, wanted] of [
  ['an empty chain', FORWARD, 'accept', [], 'passes'],
  ['a policy', FORWARD, 'drop', [], 'sure'],
  ['a rule for all', FORWARD, 'accept', [[drop]], 'sure'],
  ['a reject', FORWARD, 'accept', [[{ counter: { packets: 1 } }, { reject: { type: 'icmp' } }]], 'sure'],
  ['answers only', FORWARD, 'drop', [[state(['established', 'related']), accept]], 'sure'],
  ['new ones too', FORWARD, 'drop', [[state(['new', 'established']), accept]], 'passes'],
  ['another interface', FORWARD, 'drop', [[meta('iifname', 'docker0'), accept]], 'sure'],
  ['the interface', FORWARD, 'drop', [[meta('iifname', 'ist0'), accept]], 'passes'],
  ['interfaces by pattern', FORWARD, 'drop', [[meta('iifname', 'ist*'), accept]], 'passes'],
  ['all but an interface', FORWARD, 'accept', [[meta('oifname', 'docker0', '!='), drop]], 'sure'],
  ['a set of interfaces', FORWARD, 'drop', [[meta('iifname', { set: ['lo', 'ist0'] }), accept]], 'passes'],
  ['a named set', FORWARD, 'drop', [[meta('iifname', '@trusted'), accept]], 'perhaps'],
  ['one service dropped', FORWARD, 'accept', [[field('tcp', 'dport', 22), drop]], 'passes'],
  ['one service let through', FORWARD, 'drop', [[field('tcp', 'dport', 22), accept]], 'perhaps'],
  [
    'a network',
    FORWARD,
    'accept',
    [[field('ip', 'saddr', { prefix: { addr: '192.168.0.0', len: 16 } }), drop]],
    'sure',
  ],
  [
    'another network',
    FORWARD,
    'accept',
    [[field('ip', 'saddr', { prefix: { addr: '10.0.0.0', len: 8 } }), drop]],
    'passes',
  ],
  ['another family', FORWARD, 'accept', [[field('ip6', 'saddr', '::1'), drop]], 'passes'],
  ['another family, by meta', FORWARD, 'accept', [[meta('nfproto', 'ipv6'), drop]], 'passes'],
  ['the port', INPUT, 'drop', [[field('udp', 'dport', { set: [53, { range: [51800, 51900] }] }), accept]], 'passes'],
  ['another port', INPUT, 'drop', [[field('udp', 'dport', 53), accept]], 'sure'],
  ['the source port', INPUT, 'drop', [[field('udp', 'sport', 51820), accept]], 'passes'],
  ['another source port', INPUT, 'drop', [[field('udp', 'sport', { set: [53, 123] }), accept]], 'sure'],
  ['all but one source port', INPUT, 'accept', [[field('udp', 'sport', 53, '!='), drop]], 'sure'],
  ['the source port of a caller nobody knows', CALLER, 'drop', [[field('th', 'sport', 53), accept]], 'perhaps'],
  ['TCP', INPUT, 'drop', [[field('tcp', 'dport', 51820), accept]], 'sure'],
  ['UDP', INPUT, 'accept', [[meta('l4proto', 'udp'), drop]], 'sure'],
  ['UDP by its number', INPUT, 'accept', [[meta('l4proto', 17), drop]], 'sure'],
  ['what this reader does not know', INPUT, 'drop', [[{ xt: null }, accept]], 'perhaps'],
  [
    'a verdict map',
    FORWARD,
    'drop',
    [
      [
        {
          vmap: {
            key: { ct: { key: 'state' } },
            data: {
              set: [
                ['established', accept],
                ['invalid', drop],
              ],
            },
          },
        },
      ],
    ],
    'sure',
  ],
  [
    'a verdict map with the interface',
    FORWARD,
    'drop',
    [
      [
        {
          vmap: {
            key: { meta: { key: 'iifname' } },
            data: {
              set: [
                ['lo', accept],
                ['ist0', accept],
              ],
            },
          },
        },
      ],
    ],
    'passes',
  ],
] as const) {
  test(`nftables: ${what}: ${wanted}`, (t) => {
    const hook = packet === FORWARD ? 'forward' : 'input';
    t.is(judged(nft(hook, policy, rules as unknown as object[][]), packet), wanted);
    t.is(
      judged(nft('output', policy, rules as unknown as object[][]), packet),
      'passes',
      'at another hook it is nothing',
    );
  });
}

for (const [what, rules, more, wanted] of [
  ['a chain that drops', [[jump('c')]], { c: [[drop]] }, 'sure'],
  ['a chain that comes back', [[jump('c')], [drop]], { c: [[{ return: null }], [accept]] }, 'sure'],
  ['a chain that accepts', [[jump('c')], [drop]], { c: [[accept]] }, 'passes'],
  ['a goto, after which nothing comes', [[{ goto: { target: 'c' } }], [drop]], { c: [] }, 'passes'],
  [
    'a chain that may be taken and accepts',
    [[field('tcp', 'dport', 1), jump('c')], [drop]],
    { c: [[accept]] },
    'perhaps',
  ],
  ['a chain that may be taken and drops', [[field('tcp', 'dport', 1), jump('c')]], { c: [[drop]] }, 'passes'],
  ['chains in a circle', [[jump('c')], [drop]], { c: [[jump('c')]] }, 'sure'],
] as const) {
  test(`nftables: ${what}: ${wanted}`, (t) => {
    t.is(
      judged(
        nft('forward', 'accept', rules as unknown as object[][], more as unknown as Record<string, object[][]>),
        FORWARD,
      ),
      wanted,
    );
  });
}

const SAVED = `# Generated by iptables-save
*nat
:POSTROUTING DROP [0:0]
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER-USER - [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -p udp -m udp --dport 51800:51900 -m comment --comment "no tunnels here" -j REJECT --reject-with icmp-port-unreachable
-A FORWARD -j DOCKER-USER
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD ! -i docker+ -d 10.0.0.0/8 -j ACCEPT
-A DOCKER-USER -m limit --limit 5/min -j LOG --log-prefix "x"
-A DOCKER-USER -j RETURN
COMMIT
`;

test('iptables: rules and policies of the filter table, of one family', (t) => {
  const ruleset = readIptables(SAVED, 4);
  const input = findDrop(ruleset, ['input'], INPUT);
  t.true(input?.isSure);
  t.regex(input?.rule?.text ?? '', /no tunnels here/);
  t.is(judged(ruleset, { ...INPUT, input: 'lo' }, ['input']), 'passes');
  t.is(judged(ruleset, { ...INPUT, port: 53 }, ['input']), 'passes');
  t.like(findDrop(ruleset, ['forward'], FORWARD), { rule: undefined, isSure: true });
  t.is(findDrop(ruleset, ['forward'], FORWARD)?.chain.insert, 'iptables -I FORWARD % -j ACCEPT');
  const ofDns = readIptables(SAVED.replace('--dport 51800:51900', '! --sport 53'), 4);
  t.is(judged(ofDns, INPUT, ['input']), 'sure');
  t.is(judged(ofDns, { ...INPUT, sourcePort: 53 }, ['input']), 'passes');
  t.is(judged(ruleset, { ...FORWARD, destination: '10.1.1.1' }), 'passes');
  t.is(judged(ruleset, { ...FORWARD, destination: '10.1.1.1', input: 'docker7' }), 'sure');
  t.is(judged(ruleset, { ...FORWARD, family: 6 }), 'passes');
  t.is(
    judged(readIptables(SAVED.replace('-A DOCKER-USER -j RETURN', '-A DOCKER-USER -i ist0 -j ACCEPT'), 4), FORWARD),
    'passes',
  );
});

test('what is no ruleset is an empty one', (t) => {
  for (const document of [undefined, null, [], {}, { nftables: [] }]) t.is(readNft(document).size, 0);
  t.is(readIptables('', 4).size, 0);
});
