/**
 * An invitation: one string that holds who asks for a peering, where it is called, what lies behind it, and the PSK under
 * which the answer comes. `isthmus1-`, then base64url of the JSON of its parts and of a checksum, so that a string of which
 * a part was lost is known from one that was forged. It is a secret.
 */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import {
  cipherText,
  endpointText,
  hostText,
  idText,
  MOST_ADDRESSES,
  MOST_NETWORKS,
  nameText,
  networkText,
  pskText,
} from './texts.ts';

export interface Invitation {
  /** Of the peering, the same at both sides. */
  readonly id: string;
  /** The requester's name. */
  readonly from: string;
  /** Where the requester is called. */
  readonly endpoint: string;
  /** What lies behind the requester. */
  readonly subnets: readonly string[];
  /** Its overlay addresses. */
  readonly addresses: readonly string[];
  readonly cipher: 'auto' | 'aes-256-gcm' | 'chacha20-poly1305';
  /** 32 bytes. */
  readonly psk: Uint8Array;
  /** ms since 1970. */
  readonly expiresAt: number;
}

const PREFIX = 'isthmus1-';
const CHECKSUM_BYTES = 6;
/** The longest that there can be, with room. */
const MOST_CHARACTERS = 4096;

const partsSchema = z.strictObject({
  id: idText,
  from: nameText,
  endpoint: endpointText,
  subnets: z.array(networkText).min(1).max(MOST_NETWORKS),
  addresses: z.array(hostText).max(MOST_ADDRESSES),
  cipher: cipherText,
  psk: pskText,
  expires: z.int().positive(),
});

export function encodeInvitation({ psk, expiresAt, ...plain }: Invitation): string {
  const { subnets, addresses } = plain;
  const parts: z.input<typeof partsSchema> = {
    ...plain,
    subnets: [...subnets],
    addresses: [...addresses],
    psk: Buffer.from(psk).toString('base64url'),
    expires: expiresAt,
  };
  const body = Buffer.from(JSON.stringify(parts));
  return PREFIX + Buffer.concat([body, checksum(body)]).toString('base64url');
}

/** What a string holds, or why it is no invitation: a text that holds nothing of it. White space does not count. */
export function decodeInvitation(text: string): Invitation | string {
  const compact = text.replace(/\s/g, '');
  if (/^isthmus\d+-/.test(compact) && !compact.startsWith(PREFIX)) {
    return 'the invitation is of another version of Isthmus; wanted one that begins with isthmus1-';
  }
  if (!compact.startsWith(PREFIX)) return 'not an invitation; wanted a string that begins with isthmus1-';
  const coded = compact.slice(PREFIX.length);
  const bytes = Buffer.from(coded, 'base64url');
  const body = bytes.subarray(0, -CHECKSUM_BYTES);
  const isWhole = compact.length <= MOST_CHARACTERS && bytes.toString('base64url') === coded;
  if (!isWhole || !checksum(body).equals(bytes.subarray(-CHECKSUM_BYTES))) {
    return 'the invitation is damaged: its checksum is wrong. Was all of it copied?';
  }
  const parsed = partsSchema.safeParse(parse(body.toString()));
  if (!parsed.success) return 'the invitation holds something that no Isthmus writes';
  const { psk, expires, ...plain } = parsed.data;
  return { ...plain, psk: Uint8Array.from(Buffer.from(psk, 'base64url')), expiresAt: expires };
}

/** Of the version too, so that none can be taken for another. */
function checksum(body: Uint8Array): Buffer {
  return createHash('sha256').update(PREFIX).update(body).digest().subarray(0, CHECKSUM_BYTES);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
