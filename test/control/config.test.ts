import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { formatFault, readConfig } from '../../src/control/config.ts';
import type { GatewayConfig } from '../../src/gateway/config.ts';
import { formatPrefix } from '../../src/gateway/text.ts';
import { ENVIRONMENT, GOOD, KEY, PSK, inMemory } from './config-samples.ts';

function good(text: string): GatewayConfig {
  const result = readConfig(inMemory(text), ENVIRONMENT);
  if ('faults' in result) throw new Error(result.faults.map(formatFault).join('\n'));
  return result.config;
}

function changed(from: string, to: string): string {
  if (!GOOD.includes(from)) throw new Error(`not in the configuration: ${from}`);
  return GOOD.replace(from, () => to);
}

test('a good file becomes a configuration with everything resolved', (t) => {
  const config = good(GOOD);
  t.is(config.name, 'ningxia');
  t.deepEqual(config.addresses.map(formatPrefix), ['10.8.0.1/24']);
  t.deepEqual(config.listen, { address: undefined, port: 51820 });
  t.is(config.rekeyAfterMs, 120_000);
  const [beijing, tokyo] = config.peerings;
  t.deepEqual(beijing.keys, {
    kind: 'psk',
    role: 'server',
    cipher: 'auto',
    psk: new Uint8Array(Buffer.from(PSK, 'hex')),
  });
  t.deepEqual(beijing.endpoint, { host: '203.0.113.7', port: 51820 });
  t.is(beijing.keepaliveMs, 25_000);
  t.is(tokyo.endpoint, undefined);
  t.is(tokyo.acl, 0);
  t.deepEqual(
    config.acls[0].rules.map(({ name, line, protocol, ports, icmpType, icmpCode }) => [
      name,
      line,
      protocol,
      ports,
      icmpType,
      icmpCode,
    ]),
    [
      ['web', 26, 6, [[443, 443]], -1, -1],
      ['ping', 27, 1, [], 8, -1],
    ],
  );
});

test('what is left out has its default', (t) => {
  const config = good(`
gateway: {name: a}
peerings: [{name: b, role: client, psk: '${PSK}', subnets: 10.0.0.0/8}]
acls: {open: {default: allow, rules: [{action: deny}]}}`);
  t.deepEqual(
    { ...config, peerings: [], acls: [] },
    {
      name: 'a',
      interface: 'ist0',
      addresses: [],
      listen: { address: undefined, port: 51820 },
      endpoint: undefined,
      peeringQuota: 50,
      metrics: undefined,
      mtu: 'auto',
      subnets: [],
      rekeyAfterMs: 120_000,
      flows: 131_072,
      tcpEstablishedTimeoutMs: 432_000_000,
      logLevel: 'info',
      flowLogs: [],
      mode: 'peering',
      routeTables: [
        { name: 'local', routes: [] },
        { name: 'peerings', routes: [] },
      ],
      routeTable: 'local',
      propagateTo: ['local', 'peerings'],
      peerings: [],
      bundles: [],
      acls: [],
      securityGroups: [],
      networkAcls: [],
      localGroups: [],
      localNetworkAcl: undefined,
    },
  );
  t.like(config.peerings[0], { endpoint: undefined, addresses: [], keepaliveMs: 0, acl: -1, bundle: -1 });
  t.like(config.peerings[0], { routeTable: 'peerings', propagateTo: ['local'] });
  t.is(config.acls[0].otherwise, 'allow');
  const rule = {
    name: 'open[0]',
    action: 'deny',
    direction: 'both',
    protocol: -1,
    icmpType: -1,
    icmpCode: -1,
    line: 4,
  };
  t.deepEqual(config.acls[0].rules, [{ ...rule, sources: [], destinations: [], ports: [] }] as never);
});

test('the number of flows is rounded up to a power of two', (t) => {
  t.is(good(changed('flows: 1024', 'flows: 1025')).flows, 2048);
  t.is(good(changed('flows: 1024', 'flows: 1024')).flows, 1024);
});

test("the peer's overlay address follows from a network of two hosts", (t) => {
  const peerAddresses = (address: string): string[] =>
    good(
      `gateway: {name: a, address: ${address}}\npeerings: [{name: b, role: client, psk: '${PSK}', subnets: 172.16.0.0/12}]`,
    ).peerings[0].addresses.map(formatPrefix);
  t.deepEqual(peerAddresses('10.8.0.1/30'), ['10.8.0.2/32']);
  t.deepEqual(peerAddresses('10.8.0.6/30'), ['10.8.0.5/32']);
  t.deepEqual(peerAddresses('10.8.0.0/31'), ['10.8.0.1/32']);
  t.deepEqual(peerAddresses('["fd00::1/126", 10.8.0.255/31]'), ['fd00::2/128', '10.8.0.254/32']);
  t.deepEqual(peerAddresses('"fd00::/127"'), ['fd00::1/128']);
  t.deepEqual(peerAddresses('10.8.0.1/29'), []);
  // With two peerings it could be either's.
  t.deepEqual(
    good(changed('10.8.0.1/24', '10.8.0.1/30')).peerings.map(({ addresses }) => addresses),
    [[], []],
  );
});

test('peers by public key take the private key of the gateway', (t) => {
  const peer = Buffer.alloc(32, 9).toString('base64');
  const config = good(
    `
gateway: {name: a, private_key: ${KEY}}
peerings:
  - {name: b, public_key: ${peer}, subnets: 10.0.0.0/8}
  - {name: c, public_key: ${KEY}, preshared_key: {env: PSK_BASE64}, subnets: 11.0.0.0/8}`.replace(
      '{env: PSK_BASE64}',
      KEY,
    ),
  );
  const zeros = new Uint8Array(32);
  const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'base64'));
  t.deepEqual(config.peerings[0].keys, {
    kind: 'plain',
    privateKey: bytes(KEY),
    publicKey: bytes(peer),
    presharedKey: zeros,
  });
  t.like(config.peerings[1].keys, { presharedKey: bytes(KEY) });
});

test('a PSK may be hex, base64 or an OpenVPN static key', (t) => {
  const pskOf = (text: string): Uint8Array => {
    const result = readConfig(
      inMemory(`gateway: {name: a}\npeerings: [{name: b, role: client, psk: {env: X}, subnets: 10.0.0.0/8}]`),
      { X: text },
    );
    if ('faults' in result) throw new Error(result.faults[0].message);
    const { keys } = result.config.peerings[0];
    return keys.kind === 'psk' ? keys.psk : new Uint8Array();
  };
  const bytes = Uint8Array.from({ length: 256 }, (_, index) => index);
  const hex = Buffer.from(bytes).toString('hex');
  const openvpn = `#\n# 2048 bit OpenVPN static key\n#\n-----BEGIN OpenVPN Static key V1-----\n${hex.replace(/.{32}/g, '$&\n')}-----END OpenVPN Static key V1-----\n`;
  t.deepEqual(pskOf(hex), bytes);
  t.deepEqual(pskOf(`${hex.toUpperCase()}\n`), bytes);
  t.deepEqual(pskOf(openvpn), bytes);
  t.deepEqual(pskOf(Buffer.from(bytes).toString('base64')), bytes);
  t.throws(() => pskOf(hex.slice(1)));
  t.throws(() => pskOf('deadbeef'.repeat(7)), { message: /224 bits/ });
});

test('a file that holds a secret must be closed to others', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'isthmus-'));
  try {
    const file = join(directory, 'g.yaml');
    const pskFile = join(directory, 'beijing.psk');
    const write = (path: string, text: string, mode: number): void => {
      writeFileSync(path, text);
      chmodSync(path, mode);
    };
    const read = (): string[] => {
      const result = readConfig(file, ENVIRONMENT);
      return 'faults' in result
        ? result.faults.map(({ code, line, column, message }) => `${line}:${column} ${code} ${message}`)
        : [];
    };
    write(pskFile, `${PSK}\n`, 0o640);
    write(file, changed('{env: PSK}', '{file: beijing.psk}'), 0o644);
    t.deepEqual(read(), [
      `13:10 ISTHMUS_SECRET_EXPOSED ${pskFile} has mode 0640, which lets others at a secret; wanted 0600: chmod 600 ${pskFile}`,
    ]);
    chmodSync(pskFile, 0o600);
    t.deepEqual(read(), []);
    write(file, changed('{env: PSK}', PSK), 0o604);
    t.deepEqual(read(), [
      '13:10 ISTHMUS_SECRET_EXPOSED the secret stands in a file of mode 0604; wanted 0600, or the secret in a file of its own: {file: PATH}',
    ]);
    chmodSync(file, 0o600);
    t.deepEqual(read(), []);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('metrics: a listener alone, or with the status page', (t) => {
  const metrics = (value: string): unknown => good(GOOD.replace('mtu: auto', `metrics: ${value}`)).metrics;
  const listen = { address: '127.0.0.1', port: 9586 };
  const plain = { listen, page: false, hosts: [], token: undefined };
  for (const value of ['9586', '127.0.0.1:9586', '{listen: 9586}', '{listen: 9586, page: false}']) {
    t.deepEqual(metrics(value), plain, value);
  }
  t.deepEqual(metrics('{listen: "[::1]:9586", page: true, token: {env: OTHER_PSK}, hosts: Gateway.example}'), {
    listen: { address: '::1', port: 9586 },
    page: true,
    hosts: ['gateway.example'],
    token: Uint8Array.from(Buffer.from('f'.repeat(64))),
  });
  t.is((metrics('{listen: "192.0.2.1:9586", page: true}') as { page: boolean }).page, true);
});

test('a file that is not there is a fault like any other', (t) => {
  const result = readConfig('/nowhere/g.yaml', {});
  const faults = 'faults' in result ? result.faults.map(formatFault) : [];
  t.deepEqual(faults, ['/nowhere/g.yaml:1:1: the file does not exist (ISTHMUS_CONFIG_UNREADABLE)']);
});

test('a shape is complete: its burst, and a class for what no other takes', (t) => {
  const shape = '{out: 80mbit, in: {rate: 1gbit, burst: 64kib, classes: [{name: voice, dscp: EF, rate: 8mbit}]}}';
  const result = readConfig(inMemory(GOOD.replace('    keepalive: 25s', `    shape: ${shape}`)), ENVIRONMENT);
  t.true('config' in result);
  if (!('config' in result)) return;
  const rest = { name: '(default)', dscp: [], priority: 4, weight: 1, rate: 0 };
  const voice = { name: 'voice', dscp: [46], priority: 4, weight: 1, rate: 1_000_000 };
  t.deepEqual(result.config.peerings[0].shape, {
    out: { rate: 10_000_000, burst: 200_000, classes: [rest] },
    in: { rate: 125_000_000, burst: 65_536, classes: [voice, rest] },
  });
  t.deepEqual(result.config.peerings[1].shape, { out: undefined, in: undefined });
});
