/** The parts of invitations and messages, checked: what comes from another side is believed in no respect. */
import { z } from 'zod';
import { formatPrefix, hasHostBits, parsePrefix } from '../routing/prefix.ts';

/** A name as a configuration takes one. */
export const nameText = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/);

/** A network without host bits, in the one way to write it. */
export const networkText = z
  .string()
  .max(43)
  .transform((text, context) => {
    try {
      const prefix = parsePrefix(text);
      if (!hasHostBits(prefix)) return formatPrefix(prefix);
    } catch {
      // Said below.
    }
    context.addIssue({ code: 'custom', message: 'not a network' });
    return z.NEVER;
  });

/** One address, with its full length. */
export const hostText = networkText.refine((text) => /:.*\/128$|^[^:]*\/32$/.test(text), { error: 'not one address' });

export const idText = z.string().regex(/^pcx-[0-9a-f]{17}$/);

/** `host:port`, an IPv6 address in brackets. */
export const endpointText = z
  .string()
  .max(270)
  .regex(/^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):\d{1,5}$/);

export const cipherText = z.enum(['auto', 'aes-256-gcm', 'chacha20-poly1305']);

/** A sentence to be shown: what would do something to a terminal is shown as a question mark. */
export const sentenceText = z
  .string()
  .max(200)
  .transform((text) => text.replace(/\p{C}/gu, '?'));

/** What there is room for in one message. */
export const MOST_NETWORKS = 16;
export const MOST_ADDRESSES = 4;

export const PSK_BYTES = 32;

/** 32 bytes in base64url. */
export const pskText = z
  .string()
  .refine((text) => Buffer.from(text, 'base64url').length === PSK_BYTES && text.length === 43);
