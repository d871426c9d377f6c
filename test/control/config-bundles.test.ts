import test from 'ava';
import { formatFault, readConfig } from '../../src/control/config.ts';
import { ENVIRONMENT, inMemory } from './config-samples.ts';

/** Two paths to one place, and a third peering beside them. */
const TWO_PATHS = `gateway:
  name: ningxia
  address: [10.8.0.1/30, 10.8.0.5/30]
  subnets: [172.31.0.0/16]
peerings:
  - name: fibre
    role: server
    psk: {env: PSK}
    bundle: beijing
    subnets: [192.168.0.0/16]
    address: 10.8.0.2
  - name: radio
    role: client
    psk: {env: OTHER_PSK}
    bundle: beijing
    subnets: [192.168.0.0/16]
    address: 10.8.0.6
bundles:
  beijing: {mode: active-standby, probe: 500ms, up_after: 20s}
`;

test('peerings of one bundle may claim the same addresses', (t) => {
  const result = readConfig(inMemory(TWO_PATHS), ENVIRONMENT);
  if ('faults' in result) return t.fail(result.faults.map(formatFault).join('\n'));
  t.deepEqual(result.config.bundles, [
    { name: 'beijing', mode: 'active-standby', probeMs: 500, downAfterMs: 1250, upAfterMs: 20_000 },
  ]);
  t.deepEqual(
    result.config.peerings.map(({ bundle }) => bundle),
    [0, 0],
  );
});

test('a bundle needs no description, and where all peerings are one the overlay addresses are derived', (t) => {
  const text = TWO_PATHS.slice(0, TWO_PATHS.indexOf('bundles:')).replaceAll(/ {4}address: .*\n/g, '');
  const result = readConfig(inMemory(text), ENVIRONMENT);
  if ('faults' in result) return t.fail(result.faults.map(formatFault).join('\n'));
  t.deepEqual(result.config.bundles, [
    { name: 'beijing', mode: 'active-active', probeMs: 1000, downAfterMs: 2500, upAfterMs: 5000 },
  ]);
  for (const { addresses } of result.config.peerings) t.is(addresses.length, 2);
});

/** What is changed to what, « marking the place where the fault is, and what has to be said of it. */
const FAULTS: readonly (readonly [from: string, to: string, fault: string])[] = [
  [
    'subnets: [192.168.0.0/16]\n    address: 10.8.0.6',
    'subnets: «[192.168.0.0/17]\n    address: 10.8.0.6',
    'peerings[1].subnets: 192.168.0.0/17 differs from peerings[0] (line 6), the first peering of bundle beijing; wanted 192.168.0.0/16 (ISTHMUS_CONFIG_BUNDLE)',
  ],
  [
    'address: 10.8.0.6\n',
    'address: 10.8.0.6\n  - {name: x, role: server, psk: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, subnets: [«192.168.1.0/24]}\n',
    'peerings[2].subnets[0]: 192.168.1.0/24 overlaps 192.168.0.0/16 at peerings[1].subnets[0] (line 16); wanted each address on one side only (ISTHMUS_CONFIG_OVERLAP)',
  ],
  [
    '  beijing: {mode: active-standby, probe: 500ms, up_after: 20s}\n',
    '  «beijin: {}\n',
    'bundles.beijin: no peering is in the bundle "beijin" (did you mean "beijing"?); wanted one of beijing (ISTHMUS_CONFIG_BUNDLE)',
  ],
  [
    'mode: active-standby',
    'mode: «active-passive',
    'bundles.beijing.mode: is "active-passive"; wanted active-active or active-standby (ISTHMUS_CONFIG_VALUE)',
  ],
  [
    'probe: 500ms',
    'probe: «100ms',
    'bundles.beijing.probe: duration "100ms" is out of range; wanted 200ms to 1m (ISTHMUS_CONFIG_DURATION)',
  ],
  [
    'probe: 500ms',
    'probe: 2s, down_after: «3s',
    'bundles.beijing.down_after: 3 s is too soon for a probe every 2 s; wanted at least twice that (ISTHMUS_CONFIG_DURATION)',
  ],
  [
    'up_after: 20s',
    'up_after: «20m',
    'bundles.beijing.up_after: duration "20m" is out of range; wanted 1s to 10m (ISTHMUS_CONFIG_DURATION)',
  ],
  [
    'up_after: 20s',
    '«probes: 2s',
    'bundles.beijing.probes: unknown key "probes" (did you mean "probe"?); wanted mode, probe, down_after, up_after (ISTHMUS_CONFIG_UNKNOWN_KEY)',
  ],
];

for (const [from, to, fault] of FAULTS) {
  test(`a fault of a bundle and its place: ${to.trim().slice(0, 60)}`, (t) => {
    const marked = TWO_PATHS.replace(from, () => to);
    const before = marked.slice(0, marked.indexOf('«')).split('\n');
    const place = `g.yaml:${before.length}:${before[before.length - 1].length + 1}`;
    // Text that is a secret of its own makes a file that others may read a fault too; in memory it is none.
    const result = readConfig(inMemory(marked.replace('«', '')), ENVIRONMENT);
    t.deepEqual('faults' in result ? result.faults.map(formatFault) : [], [`${place}: ${fault}`]);
  });
}
