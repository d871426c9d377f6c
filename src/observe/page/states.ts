/** How a peer stands, in a word, with a sign that tells it without colour. */
import type { PeerStatus } from '../../gateway/status.ts';

export interface State {
  readonly level: 'good' | 'waiting' | 'bad';
  readonly word: string;
}

/** The same as the gateway's `SESSION_LIFE_S`: the page can't import it. */
const SESSION_LIFE_S = 180;

const SIGNS = { good: '●', waiting: '▲', bad: '■' } as const;

export function stateOf({ last_handshake_s: age, endpoint, path }: PeerStatus): State {
  if (age === null) return { level: 'waiting', word: endpoint === null ? 'waits for a call' : 'never connected' };
  if (age >= SESSION_LIFE_S) return { level: 'bad', word: 'session lost' };
  if (path === null || path.state === 'unknown') return { level: 'good', word: 'up' };
  if (path.state === 'down') return { level: 'bad', word: 'path down' };
  if (path.state === 'damped') return { level: 'waiting', word: 'path damped' };
  return { level: 'good', word: path.in_use ? 'up, in use' : 'up, standby' };
}

/** The word behind its sign. */
export function textOf({ level, word }: State): string {
  return `${SIGNS[level]} ${word}`;
}
