import { readFileSync, realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';
import test from 'ava';
import { stringify } from 'yaml';
import { connected, gatewayStatus, generatePsk, ISTHMUS, isthmusFiles, writePrivate } from '../lab/contenders.ts';
import { iperf3, pingTime } from '../lab/iperf3.ts';
import { dropsOf } from '../lab/look.ts';
import { must, until } from '../lab/process.ts';
import { GATEWAY_B, twoVpcs } from '../lab/two-vpcs.ts';
import { flood } from '../lab/underlay.ts';

const root = fileURLToPath(new URL('../../../', import.meta.url));

test.before(async (t) => {
  t.timeout(600_000);
  await must([process.execPath, join(root, 'native/build.mjs'), '--sanitize'], { timeout: 600_000 });
});

for (const cipher of ['aes-256-gcm', 'chacha20-poly1305']) {
  test(`ASan and UBSan find nothing in the addon at work, ${cipher}`, async (t) => {
    t.timeout(300_000);
    const libraries = await Promise.all(
      ['asan', 'ubsan'].map(async (name) =>
        realpathSync((await must(['g++', `-print-file-name=lib${name}.so`])).trim()),
      ),
    );
    const environment = [
      `ISTHMUS_PREBUILD=${join(root, 'build/sanitized')}`,
      `LD_PRELOAD=${libraries.join(':')}`,
      // Node itself frees little of what it holds when it ends.
      'ASAN_OPTIONS=detect_leaks=0:detect_stack_use_after_return=1',
      'UBSAN_OPTIONS=print_stacktrace=1',
    ];
    const lab = await twoVpcs({ between: 'switch' });
    t.teardown(() => lab.dispose());
    const files = isthmusFiles(lab, await generatePsk(lab), { cipher });
    const samples = join(lab.directory, 'samples.pcap');
    const capture = lab.spawn('wan', [
      'tcpdump',
      '-i',
      'gwb',
      '-U',
      '-c',
      '500',
      '-w',
      samples,
      'udp',
      'port',
      '51820',
    ]);
    await until('the capture', () => capture.output().includes('listening'));
    const running = (['gwa', 'gwb'] as const).map((host, at) => {
      const file = writePrivate(lab, `${host}.yaml`, stringify(files[at]));
      return lab.spawn(host, ['env', ...environment, ...ISTHMUS, 'up', file]);
    });
    await connected(lab, { processes: running });
    const maps = await must(['cat', `/proc/${running[0].pid}/maps`]);
    const addon = /\/\S*isthmus\.node$/m.exec(maps)?.[0] ?? '';
    t.true(readFileSync(addon).includes('__asan_report') && readFileSync(addon).includes('__ubsan_handle'), addon);

    for (const family of [4, 6] as const) {
      await pingTime(lab, { family, count: 5 });
      t.true((await iperf3(lab, { family, seconds: 2, direction: 'both' })).mbps > 1);
      t.true(
        (await iperf3(lab, { family, seconds: 1, direction: 'both', udp: { length: 1300, rate: '50M' } })).mbps > 1,
      );
    }
    await capture.stop();
    await flood(lab, 'wan', { to: `${GATEWAY_B[4]}:51820`, count: 20_000, rate: 10_000, samples });
    const drops = dropsOf(await gatewayStatus(lab, 'b'));
    t.true(drops['bad-tag'] > 100 && drops['malformed-datagram'] > 100, JSON.stringify(drops));

    files[1].acls['open'].unshift({ name: 'no-telnet', action: 'deny', protocol: 'tcp', ports: 23 });
    writePrivate(lab, 'gwb.yaml', stringify(files[1]));
    running[1].signal('SIGHUP');
    await until('the reload', () => running[1].output().includes('configuration reloaded'));
    await pingTime(lab, { count: 5 });
    for (const gateway of running) {
      t.is(await gateway.stop(), 0, gateway.tail(40));
      t.notRegex(gateway.output(), /Sanitizer|runtime error/);
    }
  });
}
