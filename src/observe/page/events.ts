/** The list of what happened lately, newest first. */
import type { GatewayEvent } from '../../gateway/events.ts';
import { byId, html } from './dom.ts';

const SHOWN = 60;
const SIGNS = { info: 'i', warn: '▲', error: '■' } as const;
const WORDS = { info: 'note', warn: 'warning', error: 'error' } as const;

export class EventList {
  readonly #list = byId('events');
  /** The number of the newest that is shown. */
  last = 0;

  /** Adds events, oldest first. Numbers that begin again are of a gateway that was started anew. */
  add(events: readonly GatewayEvent[]): void {
    for (const event of events) this.#list.prepend(item(event));
    while (this.#list.children.length > SHOWN) this.#list.lastElementChild!.remove();
    this.last = events.at(-1)?.id ?? this.last;
  }
}

function item({ at, level, peering, text }: GatewayEvent): HTMLLIElement {
  const time = new Date(at * 1000);
  const clock = time.toLocaleTimeString([], { hour12: false });
  const sign = html('span', { class: `sign ${level}`, role: 'img', 'aria-label': WORDS[level] }, SIGNS[level]);
  const about = peering === null ? [] : [html('b', {}, peering), ' '];
  return html(
    'li',
    {},
    html('time', { datetime: time.toISOString(), title: time.toLocaleString() }, clock),
    sign,
    html('span', {}, ...about, text),
  );
}
