import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs';
import { IsthmusError } from './errors.ts';

export { publicKey } from '../noise/psk.ts';

/** A PSK holds at least 256 bits. */
const PSK_BYTES_MIN = 32;
const KEY_BYTES = 32;
/** Far above any PSK file; keeps a wrong path from filling the memory. */
const SECRET_FILE_BYTES_MAX = 65_536;

/**
 * The bytes of a PSK given as hex, as base64, or as the body of an OpenVPN static key file (512 hex digits between
 * its marker lines). White space does not count.
 * Throws an `IsthmusError`: `ISTHMUS_SECRET_FORMAT`, `ISTHMUS_SECRET_SHORT`. Its message never shows the text.
 */
export function decodePsk(text: string): Uint8Array {
  const compact = text
    .split('\n')
    .filter((line) => !/^\s*(#|-----)/.test(line))
    .join('')
    .replace(/\s/g, '');
  const bytes = decodeHex(compact) ?? decodeBase64(compact);
  if (bytes === undefined) {
    throw new IsthmusError(
      'ISTHMUS_SECRET_FORMAT',
      'the PSK is neither hex nor base64; isthmus genpsk prints a good one',
    );
  }
  if (bytes.length < PSK_BYTES_MIN) {
    throw new IsthmusError(
      'ISTHMUS_SECRET_SHORT',
      `the PSK holds ${bytes.length * 8} bits; wanted at least 256: 64 hex digits or 44 characters of base64, as isthmus genpsk prints`,
    );
  }
  return bytes;
}

/** The 32 bytes of a key in WireGuard's notation, base64. Throws `ISTHMUS_SECRET_FORMAT`; the message never shows it. */
export function decodeKey(text: string): Uint8Array {
  const bytes = decodeBase64(text.trim());
  if (bytes?.length !== KEY_BYTES) {
    throw new IsthmusError(
      'ISTHMUS_SECRET_FORMAT',
      'not a key; wanted 44 characters of base64, as isthmus genkey prints',
    );
  }
  return bytes;
}

const TOKEN_LENGTH_MIN = 16;

/** A token for the status page, as its bytes. Throws `ISTHMUS_SECRET_FORMAT`; the message never shows it. */
export function decodeToken(text: string): Uint8Array {
  const token = text.trim();
  if (!/^[!-~]+$/.test(token) || token.length < TOKEN_LENGTH_MIN) {
    throw new IsthmusError(
      'ISTHMUS_SECRET_FORMAT',
      `not a token; wanted at least ${TOKEN_LENGTH_MIN} letters, digits and signs, as isthmus genkey prints`,
    );
  }
  return Uint8Array.from(Buffer.from(token, 'latin1'));
}

/** A key in WireGuard's notation. */
export function encodeKey(key: Uint8Array): string {
  return Buffer.from(key).toString('base64');
}

/** Text that holds a secret, and when the file that has it was last written: ms since 1970. */
export interface SecretText {
  readonly text: string;
  readonly writtenAt: number | undefined;
}

/**
 * The text of a file that holds a secret. Only its owner may have any access to it.
 * Throws an `IsthmusError`: `ISTHMUS_SECRET_UNREADABLE`, `ISTHMUS_SECRET_EXPOSED`.
 */
export function readSecretFile(path: string): SecretText {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch (error) {
    throw unreadable(path, error);
  }
  try {
    const { mode, size, mtimeMs } = fstatSync(file);
    if ((mode & constants.S_IFMT) === constants.S_IFDIR) {
      throw new IsthmusError('ISTHMUS_SECRET_UNREADABLE', `${path} is a directory; wanted a file`);
    }
    if ((mode & 0o077) !== 0) {
      throw new IsthmusError(
        'ISTHMUS_SECRET_EXPOSED',
        `${path} has mode ${formatMode(mode)}, which lets others at a secret; wanted 0600: chmod 600 ${path}`,
      );
    }
    if (size > SECRET_FILE_BYTES_MAX) {
      throw new IsthmusError('ISTHMUS_SECRET_FORMAT', `${path} holds ${size} bytes; wanted a PSK or key`);
    }
    return { text: readFileSync(file, 'utf8'), writtenAt: mtimeMs };
  } catch (error) {
    throw error instanceof IsthmusError ? error : unreadable(path, error);
  } finally {
    closeSync(file);
  }
}

/** Permission bits as `chmod` takes them. */
export function formatMode(mode: number): string {
  return (mode & 0o777).toString(8).padStart(4, '0');
}

function unreadable(path: string, error: unknown): IsthmusError {
  const reason = (error as NodeJS.ErrnoException).code;
  return new IsthmusError(
    'ISTHMUS_SECRET_UNREADABLE',
    reason === 'ENOENT' ? `${path} does not exist` : `${path} cannot be read (${reason ?? 'unknown error'})`,
  );
}

function decodeHex(text: string): Uint8Array | undefined {
  if (!/^([0-9a-f]{2})+$/i.test(text)) return undefined;
  return Uint8Array.from(Buffer.from(text, 'hex'));
}

function decodeBase64(text: string): Uint8Array | undefined {
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(text)) return undefined;
  const bytes = Buffer.from(text, 'base64');
  // Decoding is lenient: encoding again shows whether the text was whole.
  return bytes.toString('base64').replace(/=+$/, '') === text.replace(/=+$/, '') ? Uint8Array.from(bytes) : undefined;
}
