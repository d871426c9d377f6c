import test from 'ava';
import type { TraceAnswer } from '../../src/gateway/trace.ts';
import { HUB, HUB_MTU, HubLab, SPOKES, behind, vpc } from '../lab/hub.ts';

const families = [4, 6] as const;

test('a hub of four spokes: all reach all, past the kernel, with hops, time exceeded, PMTU and a trace', async (t) => {
  t.timeout(300_000);
  const hub = await HubLab.create();
  t.teardown(() => hub.dispose());
  await hub.start((file) => (file.gateway['mode'] = 'hub'));

  for (const from of SPOKES) {
    for (const to of SPOKES) {
      for (const family of from === to ? [] : families) {
        const { code, stdout } = await hub.ping(from, to, family);
        t.is(code, 0, `${from} to ${to}, IPv${family}: ${stdout}`);
      }
    }
  }

  // One hop is the hub's: with a single one left it says so itself.
  for (const [family, hops, answers] of [
    [4, '1', /From 10\.8\.0\.100 .*Time to live exceeded/],
    [6, '1', /From fd00:8::100 .*Time exceeded: Hop limit/],
    [4, '2', /1 received/],
    [6, '2', /1 received/],
  ] as const) {
    t.regex((await hub.ping(1, 2, family, '-t', hops)).stdout, answers);
  }
  const { stdout } = await hub.ping(1, 2, 4);
  t.regex(stdout, /ttl=63/);

  // The hub's way on is narrower than the spokes': who must not be cut is told of it, the others are cut.
  const size = String(HUB_MTU + 20);
  t.regex((await hub.ping(1, 2, 4, '-M', 'do', '-s', size)).stdout, /From 10\.8\.0\.100 .*mtu = 1300/);
  t.regex((await hub.ping(1, 3, 4, '-M', 'dont', '-s', size)).stdout, /1 received/);
  t.regex((await hub.ping(1, 4, 6, '-M', 'do', '-s', size)).stdout, /From fd00:8::100 .*too big: mtu=1300/);

  // Hosts at 9001 behind two spokes: TCP goes at once, by its segment size, and what may not be cut is told what fits.
  for (const n of [1, 2]) await hub.addHost(n);
  for (const family of families) t.true((await hub.transferBetweenHosts(1, 2, family)) > 1e6);
  for (const [family, length, answer] of [
    [4, 8000, /From 10\.1\.9\.1 .*mtu = 1420/],
    [4, 1350, /From 10\.8\.0\.100 .*mtu = 1300/],
    [6, 8000, /From fd00:1:9::1 .*too big: mtu=1420/],
    [6, 1350, /From fd00:8::100 .*too big: mtu=1300/],
  ] as const) {
    const argv = ['ping', `-${family}`, '-c', '1', '-W', '30', '-M', 'do', '-s', String(length), behind(2)[family]];
    t.regex((await hub.lab.run('host1', argv)).stdout, answer);
  }

  const before = await hub.kernelPackets();
  for (const family of families) t.true((await hub.transfer(3, 4, family)) > 1e6);
  const after = await hub.kernelPackets();
  t.is(after.forwarded, before.forwarded);
  // Neighbour discovery and the like, not the data: that would be thousands.
  t.true(after.tunnel - before.tunnel < 100, `${after.tunnel - before.tunnel} packets by the kernel`);

  const trace = async (...options: string[]) => {
    const { code, stdout: text } = await hub.ask('trace', ...options, '--json');
    return { code, answer: JSON.parse(text) as TraceAnswer };
  };
  const passed = await trace('--source', vpc(1)[4], '--destination', vpc(2)[4], '--port', '443');
  t.is(passed.code, 0);
  t.like(passed.answer, { passes: true, reason: null, from: 'spoke1', to: 'spoke2' });
  const lost = await trace('--source', vpc(1)[4], '--destination', '203.0.113.9', '--port', '443');
  t.is(lost.code, 1);
  t.like(lost.answer, { passes: false, reason: 'destination-not-local', from: 'spoke1' });
  const spoofed = await trace('--from', 'spoke2', '--source', vpc(1)[4], '--destination', vpc(3)[4], '--port', '1');
  t.like(spoofed.answer, { passes: false, reason: 'source-not-allowed' });
  const text = await hub.ask('trace', '--source', vpc(1)[6], '--destination', vpc(2)[6], '--protocol', 'icmp');
  t.regex(text.stdout, /route +table hub: fd00:2::\/32 to spoke2[^]*passes, to spoke2/);
});

test('isolated spokes with a shared service: each reaches the service, none another', async (t) => {
  t.timeout(300_000);
  const hub = await HubLab.create();
  t.teardown(() => hub.dispose());
  await hub.start((file) => {
    const all = ['services', 'spokes'];
    Object.assign(file.gateway, { route_table: 'services', propagate_to: all });
    file.route_tables = { services: {}, spokes: {} };
    for (const [index, peering] of file.peerings.entries()) {
      const isService = index === 0;
      const propagateTo = isService ? all : ['services'];
      Object.assign(peering, { route_table: isService ? 'services' : 'spokes', propagate_to: propagateTo });
    }
  });
  for (const family of families) {
    for (const spoke of [2, 3, 4]) {
      t.is((await hub.ping(spoke, 1, family)).code, 0, `${spoke} to the service`);
      t.is((await hub.ping(1, spoke, family)).code, 0, `the service to ${spoke}`);
      t.is((await hub.ping(spoke, HUB, family)).code, 0, `${spoke} to the hub's own VPC`);
    }
  }
  // At once, as each waits for an answer in vain.
  const isolated = families.flatMap((family) =>
    [2, 3, 4].flatMap((from) => [2, 3, 4].flatMap((to) => (from === to ? [] : [{ from, to, family }]))),
  );
  const answered = await Promise.all(
    isolated.map(async (each) =>
      (await hub.ping(each.from, each.to, each.family, '-W', '2')).code === 0 ? [each] : [],
    ),
  );
  t.deepEqual(answered.flat(), []);
  const { code, stdout } = await hub.ask('trace', '--source', vpc(2)[4], '--destination', vpc(3)[4], '--port', '80');
  t.is(code, 1);
  t.regex(stdout, /table spokes has no route[^]*dropped: destination-not-local/);
});
