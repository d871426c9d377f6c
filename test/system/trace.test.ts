import test from 'ava';
import type { LiveStep } from '../../src/gateway/live.ts';
import type { TraceAnswer } from '../../src/gateway/trace.ts';
import { interfaceName, ISTHMUS, startIsthmus } from '../lab/contenders.ts';
import { until } from '../lab/process.ts';
import { A, B, twoVpcs } from '../lab/two-vpcs.ts';

test('isthmus trace: what would become of a packet, and what becomes of real ones', async (t) => {
  const lab = await twoVpcs();
  t.teardown(() => lab.dispose());
  await startIsthmus(lab, {
    change: (a) => {
      a.acls = {
        open: [
          { name: 'no-telnet', action: 'deny', direction: 'out', protocol: 'tcp', ports: 23 },
          { name: 'rest', action: 'allow' },
        ],
      };
    },
  });
  const name = interfaceName(lab, 'a');
  const trace = (...options: string[]) => lab.run('gwa', [...ISTHMUS, 'trace', name, ...options]);
  const aToB = ['--source', A[4], '--destination', B[4]];

  const passed = await trace(...aToB, '--port', '443', '--json');
  t.is(passed.code, 0, passed.stdout + passed.stderr);
  t.like(JSON.parse(passed.stdout) as TraceAnswer, { passes: true, reason: null, from: 'local', to: 'vpc-b' });
  const denied = await trace(...aToB, '--port', '23');
  t.is(denied.code, 1);
  t.regex(denied.stdout, /^x rules .*deny by rule no-telnet of open, line \d+$/m);
  t.regex(denied.stdout, /^dropped: acl-rule$/m);
  const answer = async (...options: string[]) => JSON.parse((await trace(...options, '--json')).stdout) as TraceAnswer;
  t.like(await answer('--source', '10.9.9.9', '--destination', B[4]), { from: 'local', reason: 'source-not-local' });
  const spoofed = await answer('--from', 'vpc-b', ...aToB);
  t.like(spoofed, { from: 'vpc-b', reason: 'source-not-allowed' });
  t.like(await answer('--source', B[6], '--destination', A[6], '--protocol', 'icmp'), { from: 'vpc-b', to: 'local' });
  for (const [wrong, wanted] of [
    [['--source', A[4]], /wanted a source and a destination/],
    [[...aToB, '--port', '70000'], /port 70000: wanted a number from 0 to 65535/],
    [[...aToB, '--from', 'nowhere'], /from nowhere: wanted an attachment: local, vpc-b/],
    [[...aToB, '--live', '--ttl', '3'], /--ttl is for a packet that is not live only/],
  ] as const) {
    const { code, stderr } = await trace(...wrong);
    t.is(code, 64);
    t.regex(stderr, wanted);
  }

  const options = ['--live', '--protocol', 'icmp', '--steps', '2', '--seconds', '60', '--json'];
  const live = lab.spawn('gwa', [...ISTHMUS, 'trace', name, ...options]);
  const lines = () => live.output().split('\n').filter(Boolean);
  await until('two lines', async () => {
    await lab.run('a', ['ping', '-c', '1', '-W', '1', B[4]]);
    return lines().length >= 2;
  });
  t.is(await live.ended, 0);
  const steps = lines().map((line) => JSON.parse(line) as LiveStep);
  t.like(
    steps.find(({ from }) => from === 'local'),
    { to: 'vpc-b', source: A[4], destination: B[4], protocol: 1, icmp_type: 8, reason: null },
  );
  t.deepEqual(steps.at(-1), { lost: 0 } as unknown as LiveStep);
});
