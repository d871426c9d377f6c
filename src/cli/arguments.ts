/** How commands read the texts that they are given. */
import { endpoint } from '../control/config-text.ts';
import type { RemoteHost } from '../gateway/config.ts';
import { IsthmusError } from '../gateway/errors.ts';

export const DEFAULT_PORT = 51820;

/** What `read` makes of an option's text. Throws `ISTHMUS_USAGE`, which names the option, for what `read` refuses. */
export function readOption<T>(flag: string, text: string, read: (text: string) => T): T {
  try {
    return read(text);
  } catch (error) {
    if (!(error instanceof IsthmusError)) throw error;
    throw new IsthmusError('ISTHMUS_USAGE', `${flag}: ${error.message}`);
  }
}

/** The parts of a list, with commas or spaces between them. */
export function partsOf(text: string): string[] {
  return text.split(/[\s,]+/).filter((part) => part !== '');
}

/** An endpoint, which may come without its port here: most are the default. Throws an `IsthmusError`. */
export function calledAt(text: string): RemoteHost {
  return endpoint(/^(\[.*\]|[^:[\]]+)$/.test(text) ? `${text}:${DEFAULT_PORT}` : text);
}
