import test from 'ava';
import {
  ACTIONS,
  ACTORS,
  EXPIRES_AFTER,
  forbidden,
  isOver,
  isRouted,
  QUOTA,
  STATES,
  transition,
  visibleFor,
} from '../../src/peering/state.ts';

const HOUR = 3_600_000;

/** Every transition there is; all others are forbidden. */
const PERMITTED = [
  'initiating-request submit gateway pending-acceptance',
  'initiating-request fail gateway failed',
  'pending-acceptance accept accepter provisioning',
  'pending-acceptance reject accepter rejected',
  'pending-acceptance expire gateway expired',
  'pending-acceptance delete requester deleted',
  'pending-acceptance fail gateway failed',
  'provisioning complete gateway active',
  'provisioning fail gateway failed',
  'provisioning delete requester deleting',
  'provisioning delete accepter deleting',
  'active delete requester deleting',
  'active delete accepter deleting',
  'deleting finish gateway deleted',
];

for (const from of STATES) {
  test(`${from}: who may do what`, (t) => {
    for (const action of ACTIONS) {
      for (const by of ACTORS) {
        const to = PERMITTED.find((each) => each.startsWith(`${from} ${action} ${by} `))?.split(' ')[3];
        t.is(transition(from, action, by), to as ReturnType<typeof transition>, `${action} by ${by}`);
      }
    }
  });
}

test('what is forbidden is said with what would be wanted', (t) => {
  for (const [from, action, by, said] of [
    [
      'failed',
      'accept',
      'accepter',
      "a peering that is failed can't be accepted; wanted one that is pending-acceptance",
    ],
    [
      'active',
      'reject',
      'accepter',
      "a peering that is active can't be rejected; wanted one that is pending-acceptance",
    ],
    ['pending-acceptance', 'delete', 'accepter', 'only the requester can delete a peering that is pending-acceptance'],
    ['pending-acceptance', 'accept', 'requester', 'only the accepter can accept a peering that is pending-acceptance'],
    [
      'failed',
      'delete',
      'requester',
      "a peering that is failed can't be deleted; wanted one that is pending-acceptance or provisioning or active",
    ],
  ] as const) {
    t.is(forbidden(from, action, by), said);
  }
});

test('AWS: still visible: failed 2 h to the requester; expired 2 days to both; rejected 2 days to the requester, 2 h to the accepter', (t) => {
  t.is(visibleFor('failed', 'requester', false), 2 * HOUR);
  t.is(visibleFor('expired', 'requester', false), 48 * HOUR);
  t.is(visibleFor('expired', 'accepter', false), 48 * HOUR);
  t.is(visibleFor('rejected', 'requester', false), 48 * HOUR);
  t.is(visibleFor('rejected', 'accepter', false), 2 * HOUR);
});

test('AWS: still visible: deleted 2 h to the one who deleted, 2 days to the other', (t) => {
  for (const side of ['requester', 'accepter'] as const) {
    t.is(visibleFor('deleted', side, true), 2 * HOUR);
    t.is(visibleFor('deleted', side, false), 48 * HOUR);
  }
});

test('what is not over is always shown, and packets go in two states alone', (t) => {
  t.deepEqual(STATES.filter(isOver), ['failed', 'expired', 'rejected', 'deleted']);
  t.deepEqual(STATES.filter(isRouted), ['provisioning', 'active']);
  for (const state of STATES.filter((each) => !isOver(each))) t.is(visibleFor(state, 'requester', false), Infinity);
});

test('AWS: expired after 168 h; 50 active, up to 125; 25 requests outstanding', (t) => {
  t.is(EXPIRES_AFTER, 168 * HOUR);
  t.deepEqual(QUOTA, { active: 50, activeMost: 125, outstanding: 25 });
});
