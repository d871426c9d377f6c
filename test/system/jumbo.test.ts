import test from 'ava';
import { startIsthmus } from '../lab/contenders.ts';
import { transfer } from '../lab/transfer.ts';
import { B, twoVpcs } from '../lab/two-vpcs.ts';

test('"Hosts at 9001 meet the gateway at once, so clamping and ICMP 3/4 or Packet Too Big are both needed": they use a tunnel of 1420 from their first connection, though no ICMP reaches them', async (t) => {
  const lab = await twoVpcs({ mtu: 9001 });
  t.teardown(() => lab.dispose());
  for (const host of ['a', 'b']) {
    await lab.must(host, ['nft', 'add table inet quiet']);
    await lab.must(host, ['nft', 'add chain inet quiet in { type filter hook input priority 0 ; }']);
    await lab.must(host, ['nft', 'add rule inet quiet in icmp type destination-unreachable drop']);
    await lab.must(host, ['nft', 'add rule inet quiet in icmpv6 type packet-too-big drop']);
  }
  await startIsthmus(lab, { mtu: 1420 });
  for (const family of [4, 6] as const) {
    for (const from of ['a', 'b'] as const) {
      t.true((await transfer(lab, { family, from, bytes: 1e8 })).intact);
    }
  }
});

test('"... so clamping and ICMP 3/4 or Packet Too Big are both needed": a packet that is too big is answered with what would fit', async (t) => {
  const lab = await twoVpcs({ mtu: 9001 });
  t.teardown(() => lab.dispose());
  await startIsthmus(lab, { mtu: 1420 });
  for (const family of [4, 6] as const) {
    const { stdout, stderr } = await lab.run('a', ['ping', '-c', '2', '-W', '10', '-M', 'do', '-s', '4000', B[family]]);
    t.regex(stdout + stderr, /mtu ?=? ?1420/i);
  }
});
