import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import sqlite from 'node-sqlite3-wasm';
import { readConfig } from '../../src/control/config.ts';
import type { GatewayConfig } from '../../src/gateway/config.ts';
import { IsthmusError } from '../../src/gateway/errors.ts';
import { Peerings, type PeeredGateway } from '../../src/gateway/peerings.ts';
import { PEER } from '../observe/samples.ts';
import { START } from '../peering/ends.ts';

const HOUR = 3_600_000;

/** A gateway of which only this is there: what it runs by, whom it can reach, and what the system refuses it. */
class End implements PeeredGateway {
  readonly peerings: Peerings;
  readonly errors: string[] = [];
  running: GatewayConfig;
  refuses = '';
  /** The other end, and what that calls this one; undefined: it can't be reached. */
  other: { end: End; name: string } | undefined;

  constructor(path: string, text: string, clock: () => number) {
    const result = readConfig({ text, file: 'gateway.yaml', directory: '/', exposedMode: undefined }, {});
    if ('faults' in result) throw new Error(result.faults[0].message);
    const log = { debug: () => undefined, info: () => undefined, warn: () => undefined };
    this.peerings = new Peerings(path, result.config, { ...log, error: (line) => this.errors.push(line) }, clock);
    this.running = this.peerings.config;
    this.peerings.attach(this, 0);
  }

  reload(config: GatewayConfig): Promise<[]> {
    const isLed = config.peerings.some(({ subnets }) => subnets.length > 0);
    if (isLed && this.refuses !== '') return Promise.reject(new IsthmusError('ISTHMUS_NETWORK', this.refuses));
    this.running = config;
    return Promise.resolve([]);
  }

  peers(): (typeof PEER)[] {
    const psk = ({ keys }: GatewayConfig['peerings'][number]): 'next' | 'current' =>
      keys.kind === 'psk' && keys.next !== undefined ? 'next' : 'current';
    return this.running.peerings.map((peering) => ({ ...PEER, name: peering.name, psk: psk(peering) }));
  }

  say(_: string, payload: Uint8Array): void {
    this.other?.end.peerings.hear(this.other.name, payload);
  }

  state(name: string): string {
    return this.peerings.list().findLast((peering) => peering.name === name)!.state;
  }
}

/** Two gateways that reach each other, and a clock that is moved by hand. */
function world(t: ExecutionContext) {
  const folder = mkdtempSync(join(tmpdir(), 'isthmus-'));
  const time = { now: START };
  const open = (name: string, subnet: string): End => {
    const text = `
gateway: {name: ${name}, subnets: [${subnet}], endpoint: '198.51.100.1:51820'}
peerings: []
acls: {peers: [{action: allow}]}`;
    const end = new End(join(folder, `${name}.db`), text, () => time.now);
    t.teardown(() => end.peerings.close());
    return end;
  };
  const [a, b] = [open('a', '172.31.0.0/16'), open('b', '192.168.0.0/16')];
  a.other = { end: b, name: 'a' };
  b.other = { end: a, name: 'b' };
  t.teardown(() => rmSync(folder, { recursive: true }));
  const pass = async (ms = 1000): Promise<void> => {
    time.now += ms;
    for (let round = 0; round < 3; round++) for (const end of [a, b]) await end.peerings.tick();
  };
  return { a, b, time, pass, open, folder };
}

test('both gateways run by what was agreed, and by a PSK that was never handed over', async (t) => {
  const { a, b, pass } = world(t);
  const { invitation } = await a.peerings.request({ name: 'b', acl: 'peers' });
  t.is(b.peerings.inspect(invitation!).obstacle, null);
  await b.peerings.accept({ invitation: invitation!, acl: 'peers' });
  await pass();
  t.deepEqual([a.state('b'), b.state('a')], ['active', 'active']);
  await pass();
  const [atA, atB] = [a, b].map(({ running }) => running.peerings[0]);
  t.deepEqual([atA.subnets.length, atA.acl, atB.subnets.length, atB.acl], [1, 0, 1, 0]);
  const keys = [atA, atB].map(({ keys: each }) => (each.kind === 'psk' ? [each.psk, each.next] : []));
  t.deepEqual(keys[0], keys[1]);
  t.is(keys[0][1], undefined);
  await b.peerings.remove('a');
  await pass();
  t.deepEqual([a.state('b'), b.state('a')], ['deleted', 'deleted']);
  t.is(a.running.peerings[0].subnets.length, 0);
  await pass(HOUR);
  t.is(a.running.peerings.length, 0);
  t.deepEqual([...a.errors, ...b.errors], []);
});

test('what the system refuses the accepter fails the peering at both sides, and the operator hears why', async (t) => {
  const { a, b, pass } = world(t);
  const { invitation } = await a.peerings.request({ name: 'b' });
  b.refuses = 'the route is there already';
  await t.throwsAsync(b.peerings.accept({ invitation: invitation! }), { code: 'ISTHMUS_NETWORK', message: b.refuses });
  t.is(b.state('a'), 'failed');
  await pass();
  t.is(a.state('b'), 'failed');
  t.is(a.peerings.list()[0].message, 'the route is there already');
});

test('and what it refuses the requester, which the accepter is told', async (t) => {
  const { a, b, pass } = world(t);
  const { invitation } = await a.peerings.request({ name: 'b' });
  a.refuses = 'no such device';
  await b.peerings.accept({ invitation: invitation! });
  await pass();
  t.deepEqual([a.state('b'), b.state('a')], ['failed', 'failed']);
  t.is(b.peerings.list()[0].message, 'a: no such device');
  t.is(b.running.peerings[0].subnets.length, 0);
  t.deepEqual(a.errors, ['peerings: no such device']);
});

test('a gateway that comes back has its peerings, and goes on with what it was doing', async (t) => {
  const { a, b, pass, open } = world(t);
  const { invitation } = await a.peerings.request({ name: 'b' });
  b.other = undefined;
  await b.peerings.accept({ invitation: invitation! });
  b.peerings.close();
  const again = open('b', '192.168.0.0/16');
  t.is(again.state('a'), 'provisioning');
  t.is(again.running.peerings[0].subnets.length, 1);
  again.other = { end: a, name: 'b' };
  a.other = { end: again, name: 'a' };
  await again.peerings.tick();
  await pass();
  await again.peerings.tick();
  t.deepEqual([a.state('b'), again.state('a')], ['active', 'active']);
});

test('time brings about what is due, and a log that was tampered with is reported at the start', async (t) => {
  const { a, pass, open, folder } = world(t);
  await a.peerings.request({ name: 'b' });
  await pass(168 * HOUR);
  t.is(a.state('b'), 'expired');
  t.is(a.running.peerings.length, 0);
  await pass(48 * HOUR);
  t.deepEqual(a.peerings.list(), []);
  t.true(a.peerings.verify().ok);
  a.peerings.close();
  const database = new sqlite.Database(join(folder, 'a.db'));
  database.exec("DROP TRIGGER audit_is_fixed; UPDATE audit SET who = 'nobody' WHERE number = 2");
  database.close();
  const again = open('a', '172.31.0.0/16');
  t.regex(again.errors[0], /was tampered with: entry 2 was changed/);
  t.is(again.peerings.verify().fault?.number, 2);
});

test('what is asked for is refused with what would be wanted', async (t) => {
  const { a, b } = world(t);
  await t.throwsAsync(a.peerings.request({ name: 'b', acl: 'web' }), {
    code: 'ISTHMUS_USAGE',
    message: /wanted one of peers/,
  });
  await t.throwsAsync(a.peerings.remove('b'), { code: 'ISTHMUS_PEERING', message: /there is no peering b/ });
  await t.throwsAsync(b.peerings.accept({ invitation: 'hello' }), { code: 'ISTHMUS_INVITATION' });
  const { invitation } = await a.peerings.request({ name: 'b' });
  await t.throwsAsync(a.peerings.accept({ invitation: invitation! }), {
    code: 'ISTHMUS_PEERING',
    message: /made by this gateway/,
  });
  await b.peerings.reject(invitation!);
  await t.throwsAsync(b.peerings.accept({ invitation: invitation! }), {
    code: 'ISTHMUS_PEERING',
    message: /is rejected/,
  });
  await t.throwsAsync(b.peerings.remove('a'), { code: 'ISTHMUS_PEERING', message: /rejected can't be deleted/ });
});
