/** Making and changing elements. Text only ever goes in as text. */

import { textOf } from './states.ts';
import type { State } from './states.ts';

type Attributes = Readonly<Record<string, string | number>>;
const SVG = 'http://www.w3.org/2000/svg';

/** The element of the page with this id. */
export function byId(id: string): HTMLElement {
  return document.getElementById(id)!;
}

/** The same for an input, a select, a form. Throws if it is something else. */
export function fieldById<Field extends HTMLElement>(id: string, kind: new () => Field): Field {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new TypeError(`${id} is no ${kind.name}`);
  return found;
}

export function html<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Attributes = {},
  ...children: readonly (Node | string)[]
): HTMLElementTagNameMap[Tag] {
  return filled(document.createElement(tag), attributes, children);
}

export function svg<Tag extends keyof SVGElementTagNameMap>(
  tag: Tag,
  attributes: Attributes = {},
  ...children: readonly (Node | string)[]
): SVGElementTagNameMap[Tag] {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled<Made extends Element>(
  element: Made,
  attributes: Attributes,
  children: readonly (Node | string)[],
): Made {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}

/** Changes a text where it is another: what stays the same is not announced again, and a selection in it stays. */
export function setText(node: Element, text: string): void {
  if (node.textContent !== text) node.textContent = text;
}

/** The same for an attribute. */
export function setAttribute(element: Element, name: string, value: string): void {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

/** Writes a state into an element of its own. */
export function drawState(element: Element, state: State): void {
  setAttribute(element, 'class', `state ${state.level}`);
  setText(element, textOf(state));
}

export interface Column<Item> {
  /** Of its cells. */
  readonly class?: string;
  /** The cell that names the row. */
  readonly isHeader?: boolean;
  /** Fills a new cell, or brings one up to date. */
  draw(cell: HTMLElement, item: Item): void;
}

/** A column of texts. */
export function textColumn<Item>(text: (item: Item) => string, kind = ''): Column<Item> {
  return { class: kind, draw: (cell, item) => setText(cell, text(item)) };
}

/** The body of a table: rows stay the same elements as long as their items have the same key. */
export class Rows<Item> {
  readonly #body: HTMLElement;
  readonly #key: (item: Item) => string;
  readonly #columns: readonly Column<Item>[];
  #rows = new Map<string, HTMLTableRowElement>();

  constructor(body: HTMLElement, key: (item: Item) => string, columns: readonly Column<Item>[]) {
    this.#body = body;
    this.#key = key;
    this.#columns = columns;
  }

  /** `none`: what a row over all columns says if there are no items. */
  show(items: readonly Item[], none: string): void {
    const rows = new Map<string, HTMLTableRowElement>();
    for (const item of items) {
      const key = this.#key(item);
      const row = this.#rows.get(key) ?? this.#make();
      rows.set(key, row);
      this.#columns.forEach((column, place) => column.draw(row.children[place] as HTMLElement, item));
    }
    const wanted = [...rows.values()];
    if (wanted.length === 0) {
      const cell = html('td', { colspan: this.#columns.length, class: 'none' }, none);
      if (this.#body.textContent !== none) this.#body.replaceChildren(html('tr', {}, cell));
    } else if (
      wanted.length !== this.#body.children.length ||
      wanted.some((row, at) => row !== this.#body.children[at])
    ) {
      this.#body.replaceChildren(...wanted);
    }
    this.#rows = rows;
  }

  #make(): HTMLTableRowElement {
    const cells = this.#columns.map(({ class: kind = '', isHeader }) =>
      isHeader ? html('th', { scope: 'row', class: kind }) : html('td', { class: kind }),
    );
    return html('tr', {}, ...cells);
  }
}
