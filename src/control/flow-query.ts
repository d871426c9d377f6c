/** The question of `GET /v1/flows`. */
import { IsthmusError } from '../gateway/errors.ts';
import { FLOW_ORDERS, MAX_RANK } from '../gateway/flow-top.ts';
import type { FlowQuery } from '../gateway/flow-top.ts';
import * as text from './config-text.ts';

const LIMIT_DEFAULT = 20;
const LIMIT_MAX = 1000;

/** Each key of the question, how it is read, and what is meant without it. */
const READERS: { readonly [Key in keyof FlowQuery]-?: (value: string) => FlowQuery[Key] } = {
  sort: (value) => text.oneOf(value, FLOW_ORDERS),
  limit: (value) => text.integer(Number(value), 1, LIMIT_MAX),
  cursor: (value) => text.integer(Number(value), 0, MAX_RANK),
  peering: (value) => text.name(value),
  address: (value) => text.cidr(value),
  port: (value) => text.port(value),
  protocol: (value) => {
    const number = text.protocol(value);
    return number < 0 ? undefined : number;
  },
};

/** Reads `sort=rate&limit=10&peering=beijing`. Throws an `IsthmusError` (`ISTHMUS_USAGE`) that says what is wrong. */
export function flowQuery(asked: URLSearchParams): FlowQuery {
  const query: Record<string, unknown> = { sort: 'bytes', limit: LIMIT_DEFAULT, cursor: 0 };
  for (const [key, value] of asked) {
    if (!Object.hasOwn(READERS, key)) {
      throw new IsthmusError('ISTHMUS_USAGE', `flows: unknown ${key}; wanted ${Object.keys(READERS).join(', ')}`);
    }
    try {
      query[key] = READERS[key as keyof FlowQuery](value);
    } catch (error) {
      throw new IsthmusError('ISTHMUS_USAGE', `flows: ${key}: ${(error as Error).message}`);
    }
  }
  return query as unknown as FlowQuery;
}
