/**
 * What two gateways say to each other about a peering, inside its tunnel. Whoever can say it has the PSK. Each message is
 * said again until the other side has answered it, so that every one can come more than once.
 */
import { z } from 'zod';
import {
  hostText,
  idText,
  MOST_ADDRESSES,
  MOST_NETWORKS,
  nameText,
  networkText,
  pskText,
  sentenceText,
} from './texts.ts';

const asked = z.enum(['accept', 'reject', 'fail', 'delete']);

const messageSchema = z.discriminatedUnion('type', [
  /** The accepter's: its name, what lies behind it, and the PSK that takes the invitation's place. */
  z.object({
    type: z.literal('accept'),
    id: idText,
    from: nameText,
    subnets: z.array(networkText).min(1).max(MOST_NETWORKS),
    addresses: z.array(hostText).max(MOST_ADDRESSES),
    psk: pskText,
  }),
  z.object({ type: z.literal('reject'), id: idText, from: nameText }),
  /** The accepter's gateway found why there can't be a peering. */
  z.object({ type: z.literal('fail'), id: idText, from: nameText, reason: sentenceText }),
  z.object({ type: z.literal('delete'), id: idText }),
  /** The answer to one of those: it is so at this side too. */
  z.object({ type: z.literal('done'), id: idText, of: asked }),
  /** The other answer: it can't be. */
  z.object({ type: z.literal('refused'), id: idText, of: asked, reason: sentenceText }),
]);

export type Message = z.output<typeof messageSchema>;
export type Asked = z.output<typeof asked>;

/** What fits a packet of IPv6's least MTU, with its headers. */
export const MESSAGE_BYTES = 1232;

/** A message's bytes. Throws a `RangeError` if they are too many for one packet. */
export function encodeMessage(message: Message): Uint8Array {
  const bytes = new TextEncoder().encode(JSON.stringify(message));
  if (bytes.length > MESSAGE_BYTES)
    throw new RangeError(`a message of ${bytes.length} bytes; wanted at most ${MESSAGE_BYTES}`);
  return bytes;
}

/** The message, or undefined if there is none in these bytes. */
export function decodeMessage(bytes: Uint8Array): Message | undefined {
  try {
    const parsed = messageSchema.safeParse(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)));
    return parsed.success ? parsed.data : undefined;
  } catch {
    return undefined;
  }
}

/** A reason as it fits a message. */
export function shortened(text: string): string {
  return text.slice(0, 200);
}
