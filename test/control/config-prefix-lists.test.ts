import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { formatFault, readConfig } from '../../src/control/config.ts';
import type { ConfigResult } from '../../src/control/config.ts';
import { formatPrefix } from '../../src/gateway/text.ts';
import { ENVIRONMENT, GOOD } from './config-samples.ts';

/** Reads GOOD with pieces changed, beside a list `office.txt`. */
function readBeside(t: { teardown: (undo: () => void) => void }, list: string, ...changes: [string, string][]) {
  const directory = mkdtempSync(join(tmpdir(), 'isthmus-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const file = join(directory, 'office.txt');
  writeFileSync(file, list);
  const lists = 'prefix_lists:\n  office: {file: office.txt}\n  few: [198.51.100.0/24, "2001:db8::/32"]\n';
  const text = changes.reduce((changing, [from, to]) => {
    if (!changing.includes(from)) throw new Error(`not in the configuration: ${from}`);
    return changing.replace(from, () => to);
  }, GOOD + lists);
  return { file, result: readConfig({ text, file: 'g.yaml', directory }, ENVIRONMENT) };
}

function faultsOf(result: ConfigResult): string[] {
  return 'faults' in result ? result.faults.map(formatFault) : [];
}

const LIST = '# the office\n192.168.1.0/24\n\n  192.168.7.0/24  # upstairs\r\nfd00:7::/48\n';

test('a rule takes the networks of a list, alone or among others', (t) => {
  const { result } = readBeside(t, LIST, [
    'destination: 172.31.1.0/24',
    'destination: [172.31.1.0/24, {prefix_list: few}], source: {prefix_list: office}',
  ]);
  t.deepEqual(faultsOf(result), []);
  if ('faults' in result) return;
  const [rule] = result.config.acls[0].rules;
  t.deepEqual(rule.sources.map(formatPrefix), ['192.168.1.0/24', '192.168.7.0/24', 'fd00:7::/48']);
  t.deepEqual(rule.destinations.map(formatPrefix), ['172.31.1.0/24', '198.51.100.0/24', '2001:db8::/32']);
});

test('what a peering may learn can be said by a list', (t) => {
  const { result } = readBeside(t, LIST, [
    'keepalive: 25s',
    'learn: {accept: [10.0.0.0/8, {prefix_list: office}], max: 7}',
  ]);
  t.deepEqual(faultsOf(result), []);
  if ('faults' in result) return;
  const { accept, max } = result.config.peerings[0].learn!;
  t.deepEqual(accept.map(formatPrefix), ['10.0.0.0/8', '192.168.1.0/24', '192.168.7.0/24', 'fd00:7::/48']);
  t.is(max, 7);
  t.is(result.config.peerings[1].learn, undefined);
});

test('a route by prefix list is a route to each network of it', (t) => {
  const routes = 'route_tables:\n  local:\n    routes: [{destination: {prefix_list: office}, via: tokyo}]\nacls:\n';
  const { result } = readBeside(t, LIST, ['acls:\n', routes]);
  t.deepEqual(faultsOf(result), []);
  if ('faults' in result) return;
  t.deepEqual(
    result.config.routeTables
      .find(({ name }) => name === 'local')!
      .routes.map(({ prefix, origin, target, prefixList, line }) => [
        formatPrefix(prefix),
        origin,
        target,
        prefixList,
        line,
      ]),
    [
      ['192.168.1.0/24', 'prefix-list', 1, 'office', 26],
      ['192.168.7.0/24', 'prefix-list', 1, 'office', 26],
      ['fd00:7::/48', 'prefix-list', 1, 'office', 26],
    ],
  );
});

test("a fault in the file of a list has that file's place, behind those of the configuration", (t) => {
  const list = '10.0.0.0/8\n  10.0.0.1/8\nten\n10.0.0.0/8 # again\n';
  const { file, result } = readBeside(t, list, ['rekey: 120s', 'rekey: 120']);
  t.deepEqual(faultsOf(result), [
    'g.yaml:8:10: gateway.rekey: duration 120 has no unit; wanted 120s, 5s to 2m (ISTHMUS_CONFIG_DURATION)',
    `${file}:2:3: prefix_lists.office: 10.0.0.1/8 has host bits set; wanted 10.0.0.0/8 (ISTHMUS_CONFIG_CIDR)`,
    `${file}:3:1: prefix_lists.office: "ten" is not a CIDR; wanted a CIDR such as 10.0.0.0/16 (ISTHMUS_CONFIG_CIDR)`,
    `${file}:4:1: prefix_lists.office: 10.0.0.0/8 is in line 1 already; wanted each network once in a list (ISTHMUS_CONFIG_DUPLICATE)`,
  ]);
});

test('a file without a network is a fault: in a rule it would stand for any', (t) => {
  const { result } = readBeside(t, '# nobody\n');
  t.deepEqual(faultsOf(result), [
    'g.yaml:29:11: prefix_lists.office: the list holds no network; wanted at least one (ISTHMUS_CONFIG_PREFIX_LIST)',
  ]);
});

test('a file that is no list gives a few faults, and none shows what it holds', (t) => {
  const { result } = readBeside(t, `${ENVIRONMENT.PSK}\n`.repeat(1000));
  const faults = faultsOf(result);
  t.is(faults.length, 20);
  t.notRegex(faults.join('\n'), new RegExp(ENVIRONMENT.PSK.slice(0, 12)));
});

test('a list of 20,000 networks in a file is read', (t) => {
  const list = Array.from({ length: 20_000 }, (_, index) => `10.${index >> 8}.${index & 255}.0/24`).join('\n');
  const { result } = readBeside(t, list, ['destination: 172.31.1.0/24', 'destination: {prefix_list: office}']);
  t.is('config' in result && result.config.acls[0].rules[0].destinations.length, 20_000);
});
