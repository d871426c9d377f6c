import test from 'ava';
import { Events } from '../../src/gateway/events.ts';

const UP = { name: 'beijing', endpoint: '203.0.113.7:51820', last_handshake_s: 5, cipher: 'aes-256-gcm' };

/** Events at a time that stands still, and the texts of those after one. */
function made(): { events: Events; texts: (after?: number) => string[] } {
  const events = new Events(() => 1_700_000_000_250);
  const texts = (after = 0): string[] =>
    events.after(after).events.map(({ level, peering, text }) => `${level} ${peering ?? '-'} ${text}`);
  return { events, texts };
}

test('sessions that begin and end, and roaming, are noted once each', (t) => {
  const { events, texts } = made();
  const idle = { ...UP, name: 'tokyo', endpoint: null, last_handshake_s: null, cipher: null };
  events.see([{ ...UP, last_handshake_s: null }, idle]);
  t.deepEqual(texts(), []);
  events.see([UP, idle]);
  events.see([{ ...UP, last_handshake_s: 179 }, idle]);
  t.deepEqual(texts(), ['info beijing session with 203.0.113.7:51820, aes-256-gcm']);
  events.see([{ ...UP, endpoint: '203.0.113.8:9' }, idle]);
  t.deepEqual(texts(1), ['info beijing roamed from 203.0.113.7:51820 to 203.0.113.8:9']);
  events.see([{ ...UP, endpoint: '203.0.113.8:9', last_handshake_s: 180 }, idle]);
  events.see([{ ...UP, endpoint: '203.0.113.8:9', last_handshake_s: 181 }]);
  t.deepEqual(texts(2), ['warn beijing session lost: no handshake for 180 s']);
  events.see([{ ...UP, endpoint: '203.0.113.9:9' }]);
  t.deepEqual(texts(3), ['info beijing session with 203.0.113.9:9, aes-256-gcm']);
});

test('what the log says is noted, without what is for debugging, and still logged', (t) => {
  const { events, texts } = made();
  const logged: string[] = [];
  const take = (text: string): void => void logged.push(text);
  const log = events.noting({ debug: take, info: take, warn: take, error: take });
  log.debug('a');
  log.info('b');
  log.warn('c');
  log.error('d');
  t.deepEqual(logged, ['a', 'b', 'c', 'd']);
  t.deepEqual(texts(), ['info - b', 'warn - c', 'error - d']);
  t.deepEqual(events.after(0).events[0], { id: 1, at: 1_700_000_000.25, level: 'info', peering: null, text: 'b' });
});

test('as many are remembered as there is room for, and each is cut short', (t) => {
  const { events, texts } = made();
  for (let number = 1; number <= 1000; number++) events.add('info', `number ${number}`);
  t.is(texts().length, 200);
  t.is(texts()[0], 'info - number 801');
  t.deepEqual(texts(999), ['info - number 1000']);
  t.deepEqual(texts(1000), []);
  t.is(texts(1001).length, 200, 'a number from before a restart: all');
  events.add('error', 'x'.repeat(10_000));
  t.true(texts(1000)[0].length < 600);
});
