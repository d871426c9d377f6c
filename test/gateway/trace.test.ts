import { setImmediate as nextTurn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import test from 'ava';
import { Explainer } from '../../src/dataplane/explain.ts';
import { compileAcls, type AclSpec } from '../../src/policy/acl.ts';
import { createPolicyCounters } from '../../src/policy/counters.ts';
import { buildPrefixTable } from '../../src/routing/prefix-table.ts';
import { parsePrefix } from '../../src/routing/prefix.ts';
import { associations } from '../../src/routing/routing.ts';
import { BLACKHOLE, BUNDLE, LOCAL } from '../../src/routing/target.ts';
import { DROP, DROP_REASONS } from '../../src/wire/drop.ts';
import { rule } from '../dataplane/gateways.ts';
import { Node } from '../dataplane/node.ts';
import { Underlay } from '../session/underlay.ts';
import { peering } from '../session/world.ts';
import { echo, icmp, ip, quoting, tcp, udp, type IpOptions } from '../wire/packets.ts';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

const SEED = 20261121;
const CONFIGURATIONS = 200;
const PACKETS = 500;
/** So that each test takes seconds. */
const PARTS = 10;
const SPOKES = 3;
const PLACES = 6;
const MTU = 1420;

/** Mulberry32. */
function chance(seed: number) {
  let state = seed;
  const next = () => {
    state = (state + 0x6d2b79f5) | 0;
    let value = Math.imul(state ^ (state >>> 15), 1 | state);
    value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value;
    return ((value ^ (value >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (limit: number) => Math.floor(next() * limit);
  return { below, one: (of: number) => below(of) === 0, pick: <T>(from: readonly T[]): T => from[below(from.length)] };
}
type Chance = ReturnType<typeof chance>;

const prefixes = (place: number) => [`10.${place}.0.0/16`, `fd00:${place}::/32`].map((cidr) => parsePrefix(cidr));
const places = Array.from({ length: PLACES }, (_, place) => place);

function randomAcl({ below, one, pick }: Chance): AclSpec {
  const some = () => (one(2) ? [] : [...prefixes(below(PLACES)), parsePrefix(`10.${below(PLACES)}.0.0/20`)]);
  const rules = Array.from({ length: below(6) }, (_, number) => {
    const protocol = pick([-1, 1, 6, 17]);
    return rule({
      name: `rule ${number}`,
      action: one(3) ? 'deny' : 'allow',
      direction: pick(['in', 'out', 'both', 'both'] as const),
      protocol,
      sources: some(),
      destinations: some(),
      ports: protocol > 1 && one(2) ? [[below(4), 2 + below(4)]] : [],
    });
  });
  return { rules, otherwise: one(3) ? 'deny' : 'allow' };
}

/** Access lists alone, or with groups, which only allow, and network ACLs: the local VPC and each peering may have them. */
function randomLists(dice: Chance): Parameters<typeof compileAcls> {
  const { one, pick } = dice;
  const lists = [randomAcl(dice), randomAcl(dice)];
  if (one(2)) return [lists];
  const allowing = ({ rules }: AclSpec) => rules.map((each) => ({ ...each, action: 'allow' as const }));
  const group = DROP['security-group'];
  const groups = lists.map((list): AclSpec => {
    return { rules: allowing(list), otherwise: 'deny', deniedByRule: group, deniedByDefault: group };
  });
  const denial = DROP['network-acl'];
  const networkAcls = lists.map((): AclSpec => {
    return { ...randomAcl(dice), deniedByRule: denial, deniedByDefault: denial };
  });
  const specs = [...lists, ...groups, ...networkAcls];
  const networkAcl = () => pick([-1, -1, 4, 5]);
  const peerings = [0, 1].map((list) => ({ list: one(3) ? 2 + list : list, networkAcl: networkAcl() }));
  const local = { list: pick([-1, -1, 2, 3]), networkAcl: networkAcl() };
  const ids = specs.reduce((sum, { rules }) => sum + rules.length, 0);
  return [specs, { local, peerings, ids, noted: 0 }];
}

/** A hub with three spokes, with owners, tables and lists at random; the spokes themselves let everything by. */
function randomHub(dice: Chance) {
  const { below, one, pick } = dice;
  const underlay = new Underlay();
  const hub = new Node(underlay, '192.0.2.9', 1, one(4) ? 16 : 256);
  // In some, two of the spokes, or all, are paths of one bundle.
  const members = places.slice(0, pick([0, 0, 2, 3])).map((slot) => ({ slot, seed: below(2 ** 31) }));
  const ends = members.length === 0 ? [LOCAL, 0, 1, 2] : [LOCAL, BUNDLE, BUNDLE, 0, 2];
  const owners = places.map(() => pick(ends));
  const table = () =>
    buildPrefixTable(
      places.flatMap((place) => {
        if (one(5)) return [];
        const value = one(6) ? BLACKHOLE : one(4) ? pick(ends) : owners[place];
        return prefixes(place).map((prefix) => ({ ...prefix, value }));
      }),
    );
  const tables = [table(), table(), table()];
  const association = associations(SPOKES, 0);
  for (let at = 0; at <= SPOKES; at++) association[at] = one(12) ? -1 : below(tables.length);
  hub.routeBy({
    owners: buildPrefixTable(owners.flatMap((value, place) => prefixes(place).map((prefix) => ({ ...prefix, value })))),
    tables,
    association,
  });
  const program = compileAcls(...randomLists(dice));
  hub.judgeBy(program, createPolicyCounters(program));
  hub.answerFrom('10.8.0.1', 'fd00:8::1');
  if (members.length > 0) hub.bundle([{ number: 0, members, inUse: members.filter(() => one(2)) }]);
  const spokes = Array.from({ length: SPOKES }, (_, slot) => {
    const spoke = new Node(underlay, `192.0.2.${slot + 1}`, 10 + slot);
    const credentials = peering(slot + 1);
    hub.connect(credentials.server, undefined, { acl: pick([0, 1, 1, 0, -1]) });
    const peer = spoke.connect(credentials.client, hub.endpoint);
    spoke.route({ '0.0.0.0/0': 0, '::/0': 0 });
    spoke.mtu(9000);
    peer.wantSession(underlay.now);
    return spoke;
  });
  underlay.run(50);
  return { underlay, hub, spokes };
}

function randomPacket({ below, one, pick }: Chance): Uint8Array {
  const v6 = one(3);
  const host = () => (v6 ? `fd00:${below(PLACES + 1)}::${1 + below(2)}` : `10.${below(PLACES + 1)}.0.${1 + below(2)}`);
  const [source, destination] = [host(), host()];
  const size = one(6) ? 1300 + below(300) : below(60);
  const ports = [below(6), below(6)] as const;
  const [ping, unreachable] = v6 ? [128, 1] : [8, 3];
  const [protocol, payload] = pick<() => [number, Uint8Array]>([
    () => [6, tcp(...ports, pick([0x02, 0x02, 0x10, 0x12, 0x11, 0x04]), size)],
    () => [6, tcp(...ports, 0x02, size)],
    () => [17, udp(...ports, size)],
    () => [v6 ? 58 : 1, echo(pick([ping, ping, v6 ? 129 : 0]), below(3))],
    () => [v6 ? 58 : 1, icmp(unreachable, 1, quoting(ip(destination, source, 17, udp(ports[1], ports[0], 8))))],
    () => [47, new Uint8Array(8 + size)],
  ])();
  const fragment = { offset: one(2) ? 0 : 8 * below(40), more: one(2), id: below(3) };
  const options: IpOptions = one(15) ? { fragment } : {};
  const packet = ip(source, destination, protocol, payload, options);
  packet[v6 ? 7 : 8] = pick([0, 1, 2, 64, 64, 64, 64, 64]);
  if (!v6 && !('fragment' in options) && one(2)) packet[6] |= 0x40;
  return packet;
}

/** How often each outcome came. */
const seen = new Map<string, number>();

const agreement = test.macro(async (t, part: number) => {
  t.timeout(900_000);
  const dice = chance(SEED + part);
  for (let configuration = 0; configuration < CONFIGURATIONS / PARTS; configuration++) {
    // Four gateways hold 100 MB, which their finalizers let go of between two turns of the event loop.
    collectGarbage();
    await nextTurn();
    const { underlay, hub, spokes } = randomHub(dice);
    const explainer = new Explainer(hub.programs(MTU));
    const drops = () => {
      const counts = new Map<string, number>();
      for (let slot = -1; slot < SPOKES; slot++) {
        for (const [reason, count] of Object.entries(hub.drops(slot))) {
          if (reason !== 'answer-limited') counts.set(reason, (counts.get(reason) ?? 0) + count);
        }
      }
      return counts;
    };
    let before = drops();
    for (let number = 0; number < PACKETS; number++) {
      const packet = randomPacket(dice);
      const from = dice.below(SPOKES + 1) - 1;
      const received = hub.received.length;
      const flows = number % 50 === 0 ? hub.flows() : 0;
      const told: string = DROP_REASONS[explainer.explain(packet.slice(), from, Math.floor(underlay.now / 1000))];
      const { target } = explainer.verdict;
      if (number % 50 === 0) t.is(hub.flows(), flows);
      const sent = [0, 1, 2].map((slot) => hub.traffic(slot).sent);
      if (from < 0) hub.send(packet);
      else {
        const carried = spokes[from].dropped();
        spokes[from].send(packet);
        // What the spoke finds malformed never comes to the hub.
        if (spokes[from].dropped() !== carried) continue;
        underlay.run(1);
      }
      const after = drops();
      const done: string = [...after].find(([reason, count]) => count !== before.get(reason))?.[0] ?? 'none';
      before = after;
      const where = `part ${part}, configuration ${configuration}, packet ${number}: ${Buffer.from(packet).toString('hex')}`;
      if (told !== done) throw new Error(`${told} was told, ${done} was done: ${where}`);
      seen.set(done, (seen.get(done) ?? 0) + 1);
      if (done !== 'none') continue;
      if (target !== LOCAL && explainer.verdict.bundles.holds(0, target)) {
        seen.set('on a path of a bundle', (seen.get('on a path of a bundle') ?? 0) + 1);
      }
      if (target === LOCAL) t.is(hub.received.length, received + 1, where);
      else t.true(hub.traffic(target).sent > sent[target], where);
    }
  }
});

for (let part = 0; part < PARTS; part++) {
  const many = (PACKETS * CONFIGURATIONS).toLocaleString('en');
  const title = `a trace and the data plane agree on ${many} random packets over ${CONFIGURATIONS} configurations`;
  test.serial(`${title}: part ${part + 1} of ${PARTS}, seed ${SEED + part}`, agreement, part);
}

test.serial('among them was every outcome that a packet can have', (t) => {
  const expected = [
    ...['none', 'no-route', 'source-not-local', 'source-not-allowed', 'destination-not-local', 'blackhole-route'],
    ...[
      'acl-rule',
      'acl-default',
      'security-group',
      'network-acl',
      'flow-table-full',
      'fragment-without-first',
      'ttl-expired',
      'packet-too-big',
    ],
    'on a path of a bundle',
  ];
  for (const reason of expected) t.true((seen.get(reason) ?? 0) > 10, `${reason}: ${seen.get(reason)}`);
});
