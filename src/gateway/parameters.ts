/** Reading what a question about packets says. Faults are `IsthmusError`s, `ISTHMUS_USAGE`, that say what was wanted. */
import { isIP } from 'node:net';
import { addressWords } from '../wire/endpoint.ts';
import { PROTOCOL } from '../wire/packet.ts';
import { IsthmusError } from './errors.ts';

const PROTOCOLS: Readonly<Partial<Record<string, number>>> = PROTOCOL;

export interface AddressParameter {
  readonly family: 4 | 6;
  /** As `Packet` has addresses. */
  readonly words: readonly [number, number, number, number];
}

/** An address, undefined if none is given. */
export function addressParameter(parameters: URLSearchParams, name: string): AddressParameter | undefined {
  const text = parameters.get(name);
  if (text === null) return undefined;
  const family = isIP(text);
  if (family !== 4 && family !== 6) throw unwanted(name, text, 'an IPv4 or IPv6 address');
  const words = addressWords(text);
  return { family, words: family === 4 ? [0, 0, 0, words[3]] : words };
}

/** A whole number up to `most`; `otherwise` if none is given. */
export function numberParameter(parameters: URLSearchParams, name: string, otherwise: number, most: number): number {
  const text = parameters.get(name);
  if (text === null) return otherwise;
  if (!/^\d{1,9}$/.test(text) || Number(text) > most) throw unwanted(name, text, `a number from 0 to ${most}`);
  return Number(text);
}

/** A protocol by its name or number, TCP if none is given; `icmp` is the family's own. */
export function protocolParameter(parameters: URLSearchParams, family: 4 | 6): number {
  const text = parameters.get('protocol') ?? 'tcp';
  if (text === 'icmp' && family === 6) return PROTOCOL.icmpv6;
  const known = PROTOCOLS[text];
  if (known !== undefined) return known;
  if (!/^\d{1,3}$/.test(text) || Number(text) > 255)
    throw unwanted('protocol', text, 'tcp, udp, icmp or a number to 255');
  return Number(text);
}

export function unwanted(name: string, text: string, wanted: string): IsthmusError {
  return new IsthmusError('ISTHMUS_USAGE', `${name} ${text}: wanted ${wanted}`);
}
