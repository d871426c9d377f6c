// The schemas of docs/api.yaml, and whether an answer of the local API is as they say.
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { z } from 'zod';

interface Operation {
  readonly responses: Readonly<
    Partial<Record<string, { readonly content: Readonly<Record<string, { schema: object }>> }>>
  >;
}

interface Description {
  readonly paths: Readonly<Partial<Record<string, Readonly<Partial<Record<string, Operation>>>>>>;
  readonly components: { readonly schemas: object };
}

/** The project's file, from the place of this one once it is compiled. */
const text = readFileSync(new URL('../../../docs/api.yaml', import.meta.url), 'utf8');
const description = parse(text.replaceAll('#/components/schemas/', '#/$defs/')) as Description;

/** `GET /v1/status` and the others that are described. */
export const described = Object.entries(description.paths).flatMap(([path, operations]) =>
  Object.keys(operations ?? {}).map((method) => `${method.toUpperCase()} ${path}`),
);

/** What is wrong with an answer to a call such as `GET /v1/status`; empty if nothing is. */
export function faultsOf(call: string, { status, body }: { status: number; body: unknown }): string[] {
  const [method, path] = call.split(' ');
  const response = description.paths[path]?.[method.toLowerCase()]?.responses[String(status)];
  if (response === undefined) return [`${call} is not described with an answer ${status}`];
  const { schema } = Object.values(response.content)[0];
  const $schema = 'https://json-schema.org/draft/2020-12/schema';
  const whole = { $schema, ...schema, $defs: description.components.schemas } as Parameters<typeof z.fromJSONSchema>[0];
  const result = z.fromJSONSchema(whole).safeParse(body);
  return result.success ? [] : result.error.issues.map(({ path: at, message }) => `${at.join('.')}: ${message}`);
}
