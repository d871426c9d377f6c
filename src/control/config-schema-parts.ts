/** What the schemas of a configuration are made of. */
import { z } from 'zod';
import type { ErrorCode } from '../gateway/errors.ts';
import { IsthmusError } from '../gateway/errors.ts';

/** What the issues of `configSchema` carry beyond zod's own. */
export interface IssueParams {
  readonly code: ErrorCode;
  /** For `ISTHMUS_CONFIG_UNKNOWN_KEY`: the keys that are known at this place. */
  readonly known?: readonly string[];
}

/** A single value in one of the notations of config-text. */
export function leaf<T>(parse: (value: unknown) => T) {
  return z.unknown().transform((value, context): T => {
    try {
      return parse(value);
    } catch (error) {
      if (!(error instanceof IsthmusError)) throw error;
      context.issues.push({ code: 'custom', input: value, message: error.message, params: { code: error.code } });
      return z.NEVER;
    }
  });
}

/** A mapping with these keys and no other. */
export function mapping<Shape extends z.core.$ZodLooseShape>(shape: Shape) {
  const params: IssueParams = { code: 'ISTHMUS_CONFIG_UNKNOWN_KEY', known: Object.keys(shape) };
  const unknownKey = z.unknown().transform((value, context): never => {
    context.issues.push({ code: 'custom', input: value, message: 'unknown key', params });
    return z.NEVER;
  });
  return z.object(shape).catchall(unknownKey);
}

/** The one of two schemas that the shape of the value asks for, with that schema's faults alone. */
export function either<A, B>(isFirst: (value: unknown) => boolean, first: z.ZodType<A>, second: z.ZodType<B>) {
  return z.unknown().transform((value, context): A | B => {
    const result = (isFirst(value) ? first : second).safeParse(value, { reportInput: true });
    if (result.success) return result.data;
    for (const issue of result.error.issues) context.issues.push({ ...issue, continue: true } as z.core.$ZodRawIssue);
    return z.NEVER;
  });
}

/** `x` or `[x, y]`. */
export function oneOrMany<T>(parse: (value: unknown) => T, least = 0) {
  const wanted = 'at least one; leave the key out for any';
  return either(
    Array.isArray,
    z.array(leaf(parse)).min(least, { error: `is an empty list; wanted ${wanted}` }),
    leaf((value) => [parse(value)]),
  );
}
