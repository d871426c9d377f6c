import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import type { PeeringAnswer, RequestAnswer } from '../../src/control/peering-calls.ts';
import type { AuditAnswer, AuditVerdict } from '../../src/gateway/peerings.ts';
import type { PeeringStatus } from '../../src/gateway/peering-status.ts';
import { connected, gatewayStatus, interfaceName, ISTHMUS } from '../lab/contenders.ts';
import type { Lab } from '../lab/lab.ts';
import { execute, must, until, type Running } from '../lab/process.ts';
import { A, B, GATEWAY_A, SUBNETS_A, SUBNETS_B, twoVpcs } from '../lab/two-vpcs.ts';

type Side = 'a' | 'b';
const LONG = 60_000;

/** A gateway of the lab as its operator uses it: by the command. */
class Gateway {
  readonly #lab: Lab;
  readonly #side: Side;
  #running: Running | undefined;

  constructor(lab: Lab, side: Side) {
    this.#lab = lab;
    this.#side = side;
  }

  async init(...more: string[]): Promise<void> {
    const [subnets, device] = [this.#side === 'a' ? SUBNETS_A : SUBNETS_B, interfaceName(this.#lab, this.#side)];
    const own = ['--name', `vpc-${this.#side}`, '--subnets', `${subnets[4]},${subnets[6]}`, '--interface', device];
    await must([...ISTHMUS, 'init', ...own, '--dir', this.#lab.directory, ...more]);
  }

  async up(): Promise<void> {
    const folder = join(this.#lab.directory, 'state');
    mkdirSync(folder, { recursive: true });
    const argv = [...ISTHMUS, 'up', join(this.#lab.directory, `vpc-${this.#side}.yaml`), '--state-dir', folder];
    const running = this.#lab.spawn(`gw${this.#side}`, argv);
    this.#running = running;
    await until(
      `gateway ${this.#side}`,
      () => {
        if (!running.isRunning()) throw new Error(running.tail());
        return running.output().includes('is up');
      },
      LONG,
    );
  }

  async kill(): Promise<void> {
    this.#running!.signal('SIGKILL');
    await this.#running!.ended;
  }

  get log(): string {
    return this.#running!.output();
  }

  run(...args: string[]): ReturnType<typeof execute> {
    return execute([...ISTHMUS, ...args, '--gateway', interfaceName(this.#lab, this.#side)]);
  }

  async json<T>(...args: string[]): Promise<T> {
    const { code, stdout, stderr } = await this.run(...args, '--json');
    if (code !== 0) throw new Error(`${args.join(' ')}: ${stderr}\n${this.#running!.tail()}`);
    return JSON.parse(stdout) as T;
  }

  async invite(name: string, ...more: string[]): Promise<string> {
    return (await this.json<RequestAnswer>('peering', 'request', name, ...more)).invitation!;
  }

  show(name: string): Promise<PeeringStatus> {
    return this.json('peering', 'show', name);
  }

  async becomes(name: string, state: PeeringStatus['state']): Promise<void> {
    await until(`${name} of ${this.#side} to be ${state}`, async () => (await this.show(name)).state === state, LONG);
  }
}

test('requested and accepted, used, deleted, rejected, accepted in part, and killed in the middle', async (t) => {
  const lab = await twoVpcs();
  t.teardown(() => lab.dispose());
  const [a, b] = [new Gateway(lab, 'a'), new Gateway(lab, 'b')];
  const passes = async (from: Side, to: string): Promise<boolean> =>
    (await lab.run(from, ['ping', '-c', '1', '-W', '1', to])).code === 0;

  // From nothing, as docs/peering.md has it.
  await a.init('--endpoint', GATEWAY_A[4]);
  await b.init();
  await Promise.all([a.up(), b.up()]);
  const first = await a.invite('b', '--acl', 'peers');
  const { stdout } = await b.run('peering', 'inspect', first);
  t.regex(stdout, /from +vpc-a\n/);
  t.regex(stdout, /can be accepted here/);
  const accepted = await b.json<PeeringAnswer>('peering', 'accept', first, '--acl', 'peers');
  t.is(accepted.peering.state, 'provisioning');
  await Promise.all([a.becomes('b', 'active'), b.becomes('vpc-a', 'active')]);
  await connected(lab, { timeout: LONG });
  await connected(lab, { family: 6, timeout: LONG });
  await until('a ping', () => passes('b', A[4]), LONG);
  const shown = await a.show('b');
  t.is(shown.data_path, 'up');
  t.is(shown.peer, 'vpc-b');
  t.is((await gatewayStatus(lab, 'a')).peers.length, 1);

  // The invitation is worth nothing any more: both have moved to a PSK that was never in it.
  const pskIn = (side: Side): string => readFileSync(join(lab.directory, 'state', `vpc-${side}.db`), 'latin1');
  const invited = /"psk":"([^"]+)"/.exec(Buffer.from(first.slice('isthmus1-'.length), 'base64url').toString())![1];
  await until(
    'the invited PSK to be replaced',
    () => !pskIn('a').includes(invited) && !pskIn('b').includes(invited),
    LONG,
  );
  const again = await b.run('peering', 'accept', first);
  t.is(again.code, 1);
  t.regex(again.stderr, /used here before.*ISTHMUS_PEERING\)/);
  await until('a ping', () => passes('a', B[4]), LONG);

  // What is in the way is found before anything is changed.
  const overlapping = await b.run(
    'peering',
    'request',
    'c',
    '--endpoint',
    '198.51.100.2:51820',
    '--peer-subnets',
    '192.168.9.0/24',
  );
  t.is(overlapping.code, 1);
  t.regex(overlapping.stderr, /192\.168\.9\.0\/24 there overlaps 192\.168\.0\.0\/16 here/);

  // Killed, each in turn, and started again: everything is as it was.
  await b.kill();
  await b.up();
  await connected(lab, { timeout: LONG });
  t.is((await b.show('vpc-a')).state, 'active');

  // Deleted at one side, gone at both.
  await b.json('peering', 'delete', 'vpc-a');
  await Promise.all([a.becomes('b', 'deleted'), b.becomes('vpc-a', 'deleted')]);
  t.false(await passes('a', B[4]));
  t.regex((await a.show('b')).message, /vpc-b deleted it/);
  t.deepEqual((await gatewayStatus(lab, 'a')).peers, []);

  // Rejected.
  const second = await a.invite('b', '--acl', 'peers');
  await b.json('peering', 'reject', second);
  await a.becomes('b', 'rejected');

  // Accepted in part, while the requester is dead.
  const third = await a.invite('b');
  await a.kill();
  const part = await b.json<PeeringAnswer>(
    'peering',
    'accept',
    third,
    '--subnets',
    '172.31.1.0/24',
    '--acl',
    'peers',
    '--name',
    'part',
  );
  t.deepEqual(part.peering.peer_subnets, ['172.31.1.0/24']);
  await a.up();
  await Promise.all([a.becomes('b', 'active'), b.becomes('part', 'active')]);
  t.false(await passes('b', A[4]), 'nothing passes without an ACL');
  await a.json('peering', 'modify', 'b', '--acl', 'peers');
  await until('a ping', () => passes('b', A[4]), LONG);
  t.false(await passes('b', A[6]), 'IPv6 was not accepted');

  // A file that leaves no room for it changes nothing.
  const path = join(lab.directory, 'vpc-b.yaml');
  const text = readFileSync(path, 'utf8');
  writeFileSync(path, text.replace('192.168.0.0/16', '172.31.0.0/16'), { mode: 0o600 });
  const refused = await execute([...ISTHMUS, 'reload', interfaceName(lab, 'b')]);
  t.is(refused.code, 78);
  t.regex(refused.stderr, /requested peering part .*172\.31\.1\.0\/24 there overlaps 172\.31\.0\.0\/16 here/);
  await until('a ping', () => passes('b', A[4]), LONG);

  // All of it is written down.
  const { entries, head } = await a.json<AuditAnswer>('audit');
  t.is(head.count, entries.length);
  const states = entries.map(({ who, what }) => `${(JSON.parse(what) as { state: string }).state} ${who}`);
  for (const step of [
    'active peer vpc-b',
    'deleting peer vpc-b',
    'rejected peer vpc-b',
    'pending-acceptance local api',
  ]) {
    t.true(states.includes(step), step);
  }
  t.false(JSON.stringify(entries).includes(invited));
  t.true((await b.json<AuditVerdict>('audit', 'verify')).ok);
  t.false(a.log.includes(invited));
});
