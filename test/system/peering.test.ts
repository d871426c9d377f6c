import test from 'ava';
import { connected, gatewayStatus, startIsthmus } from '../lab/contenders.ts';
import { iperf3, leastPingTime } from '../lab/iperf3.ts';
import type { Lab } from '../lab/lab.ts';
import { overflowed } from '../lab/look.ts';
import { until } from '../lab/process.ts';
import { transfer } from '../lab/transfer.ts';
import { A, B, GATEWAY_A, GATEWAY_B, SUBNETS_A, SUBNETS_B, twoVpcs } from '../lab/two-vpcs.ts';

const families = [4, 6] as const;

for (const { cipher, other = cipher, outside, used } of [
  { cipher: 'aes-256-gcm', outside: 4, used: 'aes-256-gcm' },
  { cipher: 'chacha20-poly1305', outside: 6, used: 'chacha20-poly1305' },
  { cipher: 'auto', outside: 6, used: /^(aes-256-gcm|chacha20-poly1305)$/ },
  { cipher: 'auto', other: 'chacha20-poly1305', outside: 4, used: 'chacha20-poly1305' },
] as const) {
  test(`two VPCs, ${cipher} calls ${other}, IPv${outside} outside`, async (t) => {
    const lab = await twoVpcs();
    t.teardown(() => lab.dispose());
    await startIsthmus(lab, { cipher, outside, change: (_, b) => (b.peerings[0]['cipher'] = other) });

    let bytes = 0;
    for (const family of families) {
      t.true((await leastPingTime(lab, { family, count: 3 })) < 100);
      const both = await iperf3(lab, { family, seconds: 1, direction: 'both' });
      t.true(both.forward!.bytes > 1e6 && both.reverse!.bytes > 1e6, JSON.stringify(both));
      bytes += both.forward!.bytes;
      for (const from of ['a', 'b'] as const) t.true((await transfer(lab, { family, from, bytes: 5e6 })).intact);
    }
    const before = { a: await overflowed(lab, 'a'), b: await overflowed(lab, 'b') };
    const datagrams = await iperf3(lab, { direction: 'both', seconds: 1, udp: { length: 1200, rate: '5M' } });
    for (const [flow, to] of [
      [datagrams.forward!, 'b'],
      [datagrams.reverse!, 'a'],
    ] as const) {
      // After a moment without the machine iperf3 sends all at once what it is behind, and its own socket overflows.
      const lost = flow.lost - ((await overflowed(lab, to)) - before[to]);
      t.true(flow.packets > 250 && lost < 0.05 * flow.packets, JSON.stringify({ flow, lost }));
    }

    const [a, b] = [await gatewayStatus(lab, 'a'), await gatewayStatus(lab, 'b')];
    const [peerOfA, peerOfB] = [a.peers[0], b.peers[0]];
    const address = (ip: string): string => (outside === 6 ? `[${ip}]:51820` : `${ip}:51820`);
    t.like(peerOfA, { name: 'vpc-b', endpoint: address(GATEWAY_B[outside]), acl: 'open' });
    t.like(peerOfB, { name: 'vpc-a', endpoint: address(GATEWAY_A[outside]), acl: 'open' });
    for (const peer of [peerOfA, peerOfB]) t.regex(String(peer.cipher), new RegExp(used));
    t.is(peerOfA.cipher, peerOfB.cipher);
    t.deepEqual(peerOfA.routes, [SUBNETS_B[4], SUBNETS_B[6], '10.8.0.2/32', 'fd00:8::2/128']);
    t.deepEqual(peerOfB.routes, [SUBNETS_A[4], SUBNETS_A[6], '10.8.0.1/32', 'fd00:8::1/128']);
    t.true(peerOfA.last_handshake_s! < 60 && peerOfB.last_handshake_s! < 60);
    t.true(peerOfA.tx_bytes > bytes && peerOfB.rx_bytes > bytes, `${bytes} bytes went from A to B`);
    t.true(peerOfB.rx_bytes <= peerOfA.tx_bytes && peerOfB.rx_packets <= peerOfA.tx_packets);
    t.deepEqual([a.mtu, b.mtu], [1420, 1420]);
  });
}

/** A server on every port that is asked for; gives whether a host reaches it within so many seconds. */
async function reaches(lab: Lab, from: 'a' | 'b', port: number, patience = 2): Promise<boolean> {
  const [to, address] = from === 'a' ? (['b', B[4]] as const) : (['a', A[4]] as const);
  const server = lab.spawn(to, ['iperf3', '--server', '--port', String(port)]);
  await until('the server', async () => (await lab.must(to, ['ss', '-Htln', `sport = ${port}`])) !== '');
  const connect = (ip: string, seconds: number): string[] => [
    ...['timeout', String(seconds), 'bash', '-c', `exec 3<>/dev/tcp/${ip}/${port}`],
  ];
  if ((await lab.run(to, connect('127.0.0.1', 30))).code !== 0) throw new Error(`no server on port ${port} of ${to}`);
  const { code } = await lab.run(from, connect(address, patience));
  await server.stop();
  return code === 0;
}

test('an access list refuses what it denies, counts it, and lets replies pass', async (t) => {
  const lab = await twoVpcs();
  t.teardown(() => lab.dispose());
  await startIsthmus(lab, {
    change: (a, b) => {
      a.acls = { open: [{ name: 'calls', action: 'allow', direction: 'out' }] };
      b.acls['open'] = [
        { name: 'no-telnet', action: 'deny', direction: 'in', protocol: 'tcp', ports: 23 },
        { name: 'rest', action: 'allow' },
      ];
    },
  });
  await connected(lab);
  const rule = async (end: 'a' | 'b', name: string) =>
    (await gatewayStatus(lab, end)).rules.find((each) => each.name === name);
  const drops = async (end: 'a' | 'b') => (await gatewayStatus(lab, end)).peers[0].drops;

  t.like(await rule('b', 'no-telnet'), { acl: 'open', action: 'deny', hits: 0, denied: 0 });
  t.false(await reaches(lab, 'a', 23));
  const { denied } = (await rule('b', 'no-telnet'))!;
  t.true(denied >= 1);
  t.like(await drops('b'), { 'acl-rule': denied });

  // Gateway A's list has no rule for what comes in: what passes belongs to what went out.
  const { hits } = (await rule('a', 'calls'))!;
  t.true(await reaches(lab, 'a', 24, 30));
  t.is((await rule('a', 'calls'))!.hits, hits + 1, 'a rule decides once for a connection');
  t.true((await transfer(lab, { bytes: 1e7 })).intact);
  t.false('acl-default' in (await drops('a')));

  t.false(await reaches(lab, 'b', 24));
  t.true((await drops('a'))['acl-default'] >= 1);
  t.is((await lab.run('b', ['ping', '-c', '1', '-W', '1', A[4]])).code, 1);
});
