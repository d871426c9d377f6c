/**
 * The flows of a table as plain words, to be put into another one: that of the process which comes after this one. What
 * is known of TCP's windows is left out, as it is for a connection that is met in mid-stream, and fragments are.
 */
import { KEY_PEER, KEY_WORDS, keyLength } from './flow-key.ts';
import { STATE_MASK, idleSeconds, isFragments } from './flow-state.ts';
import { FlowTable } from './flow-table.ts';
import type { FlowTableData } from './flow-table.ts';

/** A flow: its key, its state, and the second it was last seen. */
const COPY_WORDS = KEY_WORDS + 2;
const STATE = KEY_WORDS;
const SEEN = KEY_WORDS + 1;

/** The flows of `table` that live at `seconds`, COPY_WORDS each. No thread may be writing it. */
export function copyFlows(table: FlowTableData, seconds: number): Int32Array {
  const [tcp] = table.tcpEstablished;
  const isLive = (slot: number): boolean => {
    const state = table.states[slot];
    return (
      (table.tags[slot] & 1) !== 0 && !isFragments(state) && age(seconds, table.seen[slot]) < idleSeconds(state, tcp)
    );
  };
  const slots: number[] = [];
  for (let slot = 0; slot < table.tags.length; slot++) if (isLive(slot)) slots.push(slot);
  const copy = new Int32Array(slots.length * COPY_WORDS);
  for (const [number, slot] of slots.entries()) {
    const at = number * COPY_WORDS;
    copy.set(table.keys.subarray(slot * KEY_WORDS, (slot + 1) * KEY_WORDS), at);
    copy[at + STATE] = table.states[slot] & STATE_MASK;
    copy[at + SEEN] = table.seen[slot];
  }
  return copy;
}

/**
 * Puts copied flows into a table, no rule known for them: those that still live at `seconds`, of peers whose number in this
 * table `peerOf` knows (undefined: none). Returns how many found room.
 */
export function pasteFlows(
  table: FlowTableData,
  copy: Int32Array,
  peerOf: (peer: number) => number | undefined,
  seconds: number,
): number {
  const flows = new FlowTable(table);
  const words = new Int32Array(KEY_WORDS);
  const [tcp] = table.tcpEstablished;
  let pasted = 0;
  for (let at = 0; at + COPY_WORDS <= copy.length; at += COPY_WORDS) {
    const peer = peerOf(copy[at + KEY_PEER]);
    const state = copy[at + STATE] & STATE_MASK;
    const seen = copy[at + SEEN];
    const idle = age(seconds, seen);
    if (peer === undefined || idle < 0 || idle >= idleSeconds(state, tcp)) continue;
    words.set(copy.subarray(at, at + KEY_WORDS));
    words[KEY_PEER] = peer;
    if (flows.insert({ words, length: keyLength(words) }, state, seen) >= 0) pasted++;
  }
  return pasted;
}

function age(seconds: number, seen: number): number {
  return (seconds - seen) | 0;
}
