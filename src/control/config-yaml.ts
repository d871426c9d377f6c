import { LineCounter, isAlias, isMap, isScalar, isSeq, parseDocument, visit } from 'yaml';
import type { Document, Node, ParsedNode } from 'yaml';
import type { ErrorCode } from '../gateway/errors.ts';

/** Keys and indices from the top of the document down. */
export type Path = readonly (string | number)[];

/** Both counted from 1. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

export interface SyntaxFault extends Position {
  readonly code: ErrorCode;
  readonly message: string;
}

/** A YAML text: its plain value, and where in the text each part of it stands. Never throws. */
export class YamlSource {
  /** What broke the reading. Unless `whole`, `value` is not to be judged. */
  readonly faults: readonly SyntaxFault[];
  readonly whole: boolean;
  readonly value: unknown;
  readonly #document: Document.Parsed;
  readonly #lines = new LineCounter();

  constructor(text: string) {
    this.#document = parseDocument(text, { lineCounter: this.#lines, prettyErrors: false, logLevel: 'silent' });
    const faults = this.#document.errors.map((error): SyntaxFault =>
      error.code === 'DUPLICATE_KEY'
        ? { code: 'ISTHMUS_CONFIG_DUPLICATE', message: 'the key stands here a second time', ...this.#at(error.pos[0]) }
        : { code: 'ISTHMUS_CONFIG_SYNTAX', message: withoutSource(error.message), ...this.#at(error.pos[0]) },
    );
    let value: unknown;
    try {
      value = this.#document.toJS();
    } catch {
      faults.push({
        code: 'ISTHMUS_CONFIG_SYNTAX',
        message: 'an alias has no anchor before it, or aliases expand without bound',
        ...this.#firstAlias(),
      });
    }
    this.value = value;
    this.faults = faults;
    this.whole = faults.every((fault) => fault.code === 'ISTHMUS_CONFIG_DUPLICATE');
  }

  /**
   * Where the value at `path` stands, or its key. For a path that is not there: the innermost part of it that is.
   */
  position(path: Path, of: 'key' | 'value' = 'value'): Position {
    let node: Node | null = this.#document.contents;
    let offset = startOf(node) ?? 0;
    for (const [depth, step] of path.entries()) {
      const within: Node | null = isAlias(node) ? (node.resolve(this.#document) ?? null) : node;
      if (isMap<ParsedNode, ParsedNode | null>(within)) {
        const pair = within.items.findLast(({ key }) => isScalar(key) && String(key.value) === String(step));
        if (pair === undefined) break;
        node = pair.value;
        const key = startOf(pair.key);
        offset = (of === 'key' && depth === path.length - 1 ? key : (startOf(node) ?? key)) ?? offset;
      } else if (isSeq<ParsedNode>(within) && typeof step === 'number' && step < within.items.length) {
        node = within.items[step];
        offset = startOf(node) ?? offset;
      } else {
        break;
      }
    }
    return this.#at(offset);
  }

  #firstAlias(): Position {
    let offset = 0;
    visit(this.#document, {
      Alias: (_, alias) => {
        offset = startOf(alias) ?? 0;
        return visit.BREAK;
      },
    });
    return this.#at(offset);
  }

  #at(offset: number): Position {
    const { line, col } = this.#lines.linePos(offset);
    return { line: Math.max(1, line), column: Math.max(1, col) };
  }
}

function startOf(node: Node | null): number | undefined {
  return node?.range?.[0];
}

/** Some messages of the parser end with a piece of the text, which may hold a secret: `…: "piece"`. */
function withoutSource(message: string): string {
  return message.replace(/(?<=\w): .*$/s, '');
}
