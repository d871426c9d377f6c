import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import test, { type ExecutionContext } from 'ava';
import {
  answerCall,
  apiServer,
  callApi,
  CALLS,
  postApi,
  streamApi,
  STREAMS,
  type ApiTarget,
} from '../../src/control/api.ts';
import { PEERING_CALLS } from '../../src/control/peering-calls.ts';
import { IsthmusError } from '../../src/gateway/errors.ts';
import type { Change } from '../../src/gateway/difference.ts';
import type { GatewayEvent } from '../../src/gateway/events.ts';
import type { FlowRow, FlowsAnswer } from '../../src/gateway/flow-top.ts';
import type { LiveStep } from '../../src/gateway/live.ts';
import type { TraceAnswer } from '../../src/gateway/trace.ts';
import type { InvitationStatus, PeeringStatus } from '../../src/gateway/peering-status.ts';
import type { GatewayStatus, RoutesStatus, RouteStatus, ShapeClassStatus } from '../../src/gateway/status.ts';
import { nextEntry, headOf, EMPTY_HEAD } from '../../src/peering/audit.ts';
import { PEER, STATUS } from '../observe/samples.ts';
import { described, faultsOf } from './api-schema.ts';

const CHANGES: Change[] = [
  { change: 'add', path: 'peerings[beijing]', before: null, after: null, refused: false },
  { change: 'change', path: 'gateway.listen', before: '51820', after: '51821', refused: true },
];

const SHAPE_CLASS: ShapeClassStatus = {
  ...{ name: 'bulk', priority: 1, weight: 1, rate_bit: null },
  ...{ packets: 9, bytes: 9000, delayed: 3, drops: 0, queued_bytes: 0 },
};

const ACCEPTED: FlowRow = {
  ...{ peering: 'beijing', direction: 'in', protocol: 6, source: '192.168.1.10', source_port: 1024 },
  ...{ destination: '172.31.1.10', destination_port: 443, action: 'accept', drop_reason: null, rule: 'web/https' },
  ...{ packets: 7, bytes: 700, rate_bps: 56.5, first: 1_700_000_000, last: 1_700_000_099 },
};
const FLOWS: FlowsAnswer = {
  ...{ watched_s: 12.5, matched: 2, packets: 8, bytes: 740, skipped_packets: 0, next: null },
  flows: [ACCEPTED, { ...ACCEPTED, peering: null, action: 'reject', drop_reason: 'no-route', rule: null }],
};

const ROUTE: RouteStatus = {
  ...{
    destination: '192.168.0.0/16',
    target: 'beijing',
    origin: 'static',
    prefix_list: null,
    state: 'active',
    line: null,
  },
};
const ROUTES: RoutesStatus = {
  mode: 'hub',
  tables: [
    {
      name: 'spokes',
      associated: ['beijing'],
      propagating: [],
      routes: [ROUTE, { ...ROUTE, prefix_list: 'offices', line: 7 }],
    },
  ],
};

const EVENT: GatewayEvent = {
  ...{ id: 1, at: 1_700_000_000.25, level: 'info', peering: 'beijing', text: 'session lost' },
};

const TRACE: TraceAnswer = {
  ...{ passes: false, reason: 'source-not-local', from: 'local', to: null },
  steps: [
    { step: 'attachment', passes: true, text: 'comes in by local' },
    { step: 'source', passes: false, text: '10.9.9.9 belongs to no attachment' },
  ],
};

const STEP: LiveStep = {
  ...{ from: 'local', to: 'beijing', protocol: 6, source: '172.31.1.10', source_port: 1024, tcp_flags: 2 },
  ...{ destination: '192.168.1.10', destination_port: 443, icmp_type: -1, packets: 1, reason: null, rule: 'web/https' },
};

const PEERING: PeeringStatus = {
  ...{
    name: 'beijing',
    id: 'pcx-00000000000000001',
    origin: 'requested',
    side: 'requester',
    state: 'active',
    message: '',
  },
  ...{ peer: 'beijing', peer_subnets: ['192.168.0.0/16'], subnets: ['172.31.0.0/16'], acl: 'web' },
  ...{ endpoint: '203.0.113.7:51820', created_at: '2026-01-01T00:00:00.000Z', changed_at: '2026-01-01T00:00:00.000Z' },
  ...{ expires_at: null, visible_until: null, data_path: 'up', last_handshake_s: 3 },
};
const FILED: PeeringStatus = {
  ...{ ...PEERING, id: null, origin: 'file', side: null, peer: null, acl: null, endpoint: null },
  ...{ created_at: null, changed_at: null, data_path: 'none', last_handshake_s: null },
};
const INVITATION: InvitationStatus = {
  ...{ id: 'pcx-00000000000000001', from: 'ningxia', endpoint: '203.0.113.7:51820', subnets: ['172.31.0.0/16'] },
  ...{ addresses: [], cipher: 'auto', expires_at: '2026-01-08T00:00:00.000Z', obstacle: null },
};
const ENTRY = nextEntry(EMPTY_HEAD, 1, 'local api', '{}');

const PEERINGS: ApiTarget['peerings'] = {
  list: () => [PEERING, FILED],
  request: ({ name }) => Promise.resolve({ peering: { ...PEERING, name }, invitation: 'isthmus1-AA' }),
  inspect: () => INVITATION,
  accept: ({ name = 'beijing' }) => Promise.resolve({ ...PEERING, name }),
  reject: () => Promise.resolve({ ...PEERING, state: 'rejected' }),
  remove: (name) => Promise.resolve({ ...PEERING, name, state: 'deleting' }),
  useAcl: (name, acl) => Promise.resolve({ ...PEERING, name, acl: acl === '' ? null : acl }),
  audit: () => ({ head: headOf(ENTRY), entries: [ENTRY] }),
  verify: (noted) => ({
    ...{ ok: noted === undefined, head: headOf(ENTRY) },
    fault: noted === undefined ? null : { number: 1, reason: 'entry 1 is another one than was noted' },
  }),
};

const TARGET: ApiTarget = {
  about: () => ({ version: '1.2.3', pid: 7, file: '/etc/isthmus/gateway.yaml' }),
  status: () => STATUS,
  reload: (dryRun) => Promise.resolve(dryRun ? CHANGES : []),
  rules: () => STATUS.rules,
  routes: () => ROUTES,
  trace: () => TRACE,
  flows: () => Promise.resolve(FLOWS),
  events: () => ({ events: [EVENT, { ...EVENT, peering: null }] }),
  follow: () => Readable.from([STEP, { lost: 0 }]),
  peerings: PEERINGS,
};

/** The API of a gateway that answers with these, on a socket of its own. */
async function served(t: ExecutionContext, target: Partial<ApiTarget>): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'isthmus-'));
  const path = join(folder, 'api.sock');
  const server = apiServer({ ...TARGET, ...target });
  server.listen(path);
  await once(server, 'listening');
  t.teardown(() => {
    server.close();
    rmSync(folder, { recursive: true });
  });
  return path;
}

test('docs/api.yaml describes every call, and no other', (t) => {
  t.deepEqual(described.sort(), [CALLS, PEERING_CALLS, STREAMS].flatMap((calls) => Object.keys(calls)).sort());
});

test('a call that comes by the status page, with no socket, has the same answer', async (t) => {
  for (const call of ['/v1/status', '/v1/peerings', '/v1/events?after=7']) {
    const { status, body } = await answerCall(TARGET, 'GET', call);
    t.is(status, 200, call);
    t.deepEqual(faultsOf(`GET ${call.split('?')[0]}`, { status, body }), []);
  }
  t.is((await answerCall(TARGET, 'GET', '/v1/nothing')).status, 404);
});

test('every answer is as docs/api.yaml says', async (t) => {
  const idle: GatewayStatus['peers'][number] = {
    ...{ ...PEER, endpoint: null, cipher: null, psk: null, last_handshake_s: null, acl: null, drops: {} },
    path: null,
  };
  const inBundle: GatewayStatus['peers'][number] = {
    ...PEER,
    path: { bundle: 'east', state: 'up', in_use: true, rtt_ms: 1.5, jitter_ms: 0.25, loss: 0 },
    shape: [{ direction: 'out', rate_bit: 1e9, burst_bytes: 125_000, classes: [SHAPE_CLASS] }],
  };
  const path = await served(t, { status: () => ({ ...STATUS, peers: [PEER, idle, inBundle] }) });
  for (const [call, query, body] of [
    ['GET /v1/status', ''],
    ['GET /v1/rules', ''],
    ['GET /v1/routes', ''],
    ['GET /v1/trace', '?source=172.31.1.10&destination=192.168.1.10'],
    ['GET /v1/flows', ''],
    ['GET /v1/events', ''],
    ['GET /v1/events', '?after=7'],
    ['GET /v1/flows', '?sort=packets&limit=5&port=443'],
    ['POST /v1/reload', ''],
    ['POST /v1/reload', '?dry_run=true'],
    ['POST /v1/reload', '?dry_run=false'],
    ['GET /v1/peerings', ''],
    [
      'POST /v1/peerings/request',
      '',
      { name: 'beijing', subnets: ['172.31.0.0/16'], peer_subnets: ['fd00::/8'], acl: 'web' },
    ],
    ['POST /v1/peerings/request', '', { name: 'beijing', endpoint: '[2001:db8::1]:51820', cipher: 'aes-256-gcm' }],
    ['POST /v1/peerings/inspect', '', { invitation: 'isthmus1-AA' }],
    ['POST /v1/peerings/accept', '', { invitation: 'isthmus1-AA', name: 'east', subnets: ['10.0.0.0/8'], acl: 'web' }],
    ['POST /v1/peerings/reject', '', { invitation: 'isthmus1-AA' }],
    ['POST /v1/peerings/delete', '', { name: 'beijing' }],
    ['POST /v1/peerings/modify', '', { name: 'beijing', acl: null }],
    ['GET /v1/audit', '?from=2&limit=10'],
    ['GET /v1/audit/verify', ''],
    ['GET /v1/audit/verify', `?head=1:${'0'.repeat(64)}`],
  ] as const) {
    const [method, at] = call.split(' ');
    const answer = await (body === undefined
      ? callApi(path, method as 'GET' | 'POST', at + query)
      : postApi(path, at, body));
    t.is(answer.status, 200);
    t.deepEqual(faultsOf(call, answer), [], call);
  }
  t.deepEqual((await callApi(path, 'POST', '/v1/reload?dry_run=true')).body, { changes: CHANGES });
  t.deepEqual((await callApi(path, 'POST', '/v1/reload')).body, { changes: [] });
});

test('each line of a live trace is as docs/api.yaml says', async (t) => {
  const path = await served(t, {});
  const lines: unknown[] = [];
  for await (const line of streamApi(path, '/v1/trace/live?port=443')) {
    t.deepEqual(faultsOf('GET /v1/trace/live', line), []);
    lines.push(line.body);
  }
  t.deepEqual(lines, [STEP, { lost: 0 }]);
});

test('a refusal carries its code', async (t) => {
  const fault = new IsthmusError('ISTHMUS_CONFIG_CIDR', 'gateway.yaml:3:12: gateway.subnets: not a CIDR');
  const path = await served(t, { reload: () => Promise.reject(fault) });
  const answer = await callApi(path, 'POST', '/v1/reload');
  t.deepEqual(answer, { status: 422, body: { code: fault.code, message: fault.message } });
  t.deepEqual(faultsOf('POST /v1/reload', answer), []);
  const question = await callApi(path, 'GET', '/v1/flows?sort=colour');
  t.is(question.status, 422);
  t.deepEqual(faultsOf('GET /v1/flows', question), []);
});

test('what is asked of peerings is checked, and the fault named', async (t) => {
  const path = await served(t, {});
  for (const [call, body, message] of [
    ['request', {}, /^name: is missing|^name: /],
    ['request', { name: 'a b' }, /^name: .*wanted a name/],
    ['request', { name: 'b', endpoint: 'x' }, /^endpoint: .*wanted host:port/],
    ['request', { name: 'b', subnets: ['10.0.0.1/8'] }, /^subnets\.0: .*wanted 10\.0\.0\.0\/8/],
    ['request', { name: 'b', subnets: [] }, /^subnets: /],
    ['request', { name: 'b', colour: 'red' }, /colour/],
    ['accept', { invitation: 1 }, /^invitation: /],
    ['delete', undefined, /^the body: /],
    ['modify', { name: 'b' }, /^acl: /],
  ] as const) {
    const at = `/v1/peerings/${call}`;
    const answer = await (body === undefined ? callApi(path, 'POST', at) : postApi(path, at, body));
    t.is(answer.status, 422);
    t.deepEqual(faultsOf(`POST /v1/peerings/${call}`, answer), []);
    const fault = answer.body as { code: string; message: string };
    t.is(fault.code, 'ISTHMUS_USAGE');
    t.regex(fault.message, message);
  }
  for (const call of ['/v1/audit?from=0', '/v1/audit?limit=x', '/v1/audit/verify?head=1']) {
    t.is((await callApi(path, 'GET', call)).status, 422);
  }
  const long = await postApi(path, '/v1/peerings/inspect', { invitation: 'x'.repeat(70_000) });
  t.regex((long.body as { message: string }).message, /longer than 65536/);
});

test('a call that there is not is answered so', async (t) => {
  const path = await served(t, {});
  for (const [method, call] of [
    ['GET', '/v1/reload'],
    ['POST', '/v1/status'],
    ['GET', '/v2/status'],
    ['GET', '/__proto__'],
  ] as const) {
    const { status, body } = await callApi(path, method, call);
    t.is(status, 404);
    t.is((body as { code: string }).code, 'ISTHMUS_USAGE');
  }
});

test('what is not described is noticed', (t) => {
  const noticed = (body: unknown): number => faultsOf('GET /v1/status', { status: 200, body }).length;
  t.is(noticed(STATUS), 0);
  t.not(noticed({ ...STATUS, news: 1 }), 0);
  t.not(noticed({ ...STATUS, mtu: undefined }), 0);
  t.not(noticed({ ...STATUS, peers: [{ ...PEER, psk: 'former' }] }), 0);
  t.not(faultsOf('GET /v1/status', { status: 500, body: {} }).length, 0);
});
