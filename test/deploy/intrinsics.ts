/** CloudFormation's intrinsic functions, as far as the templates use them: what a template becomes in one place. */

/** Where a stack is made. */
export interface Place {
  readonly region: string;
  readonly partition: string;
  readonly urlSuffix: string;
}

export const PLACES: readonly Place[] = [
  { region: 'us-east-1', partition: 'aws', urlSuffix: 'amazonaws.com' },
  { region: 'cn-north-1', partition: 'aws-cn', urlSuffix: 'amazonaws.com.cn' },
];

export interface Template {
  readonly Parameters: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  readonly Conditions: Readonly<Record<string, unknown>>;
  readonly Mappings: Readonly<Record<string, Readonly<Record<string, Readonly<Record<string, string>>>>>>;
  readonly Resources: Readonly<Record<string, Resource>>;
  readonly Outputs: Readonly<Record<string, { readonly Value: unknown }>>;
  readonly Rules?: Readonly<Record<string, { readonly Assertions: readonly { readonly Assert: unknown }[] }>>;
}

interface Resource {
  readonly Type: string;
  readonly Condition?: string;
  readonly Properties: Readonly<Record<string, unknown>>;
}

/** In place of a property that is to be left out. */
const NO_VALUE = Symbol('AWS::NoValue');

/**
 * The template with its functions carried out and the resources left out whose condition does not hold. A reference to a
 * resource becomes its logical name in angle brackets: `<Instance>`, `<Address.PublicIp>`.
 */
export function resolve(template: Template, parameters: Readonly<Record<string, string>>, place: Place): Template {
  const pseudo: Readonly<Record<string, string>> = {
    'AWS::Region': place.region,
    'AWS::Partition': place.partition,
    'AWS::URLSuffix': place.urlSuffix,
    'AWS::AccountId': '123456789012',
    'AWS::StackName': 'joined',
    'AWS::StackId': `arn:${place.partition}:cloudformation:${place.region}:123456789012:stack/joined/1`,
  };
  const reference = (name: string): unknown => {
    if (name === 'AWS::NoValue') return NO_VALUE;
    if (name in pseudo) return pseudo[name];
    if (name in template.Parameters) {
      if (name in parameters) return parameters[name];
      const fallback = template.Parameters[name]['Default'] as string | number | undefined;
      if (fallback === undefined) throw new Error(`no value for the parameter ${name}`);
      return String(fallback);
    }
    if (name in template.Resources) return `<${name}>`;
    throw new Error(`a reference to ${name}, which is nowhere`);
  };
  const text = (value: unknown): string => {
    if (typeof value !== 'string') throw new Error(`wanted a text: ${JSON.stringify(value)}`);
    return value;
  };
  const functions: Readonly<Record<string, (argument: never) => unknown>> = {
    Ref: reference,
    'Fn::GetAtt': (path: string[]) => `<${path.join('.')}>`,
    'Fn::Base64': (value: unknown) => evaluate(value),
    'Fn::Join': ([separator, parts]: [string, unknown[]]) => parts.map((part) => text(evaluate(part))).join(separator),
    'Fn::Split': ([separator, value]: [string, unknown]) => text(evaluate(value)).split(separator),
    'Fn::Select': ([place, list]: [number, unknown]) => {
      const entries = evaluate(list) as unknown[];
      if (place >= entries.length) throw new Error(`Fn::Select: ${place} of ${entries.length}`);
      return entries[place];
    },
    'Fn::Sub': (argument: string | [string, Record<string, unknown>]) => {
      const [pattern, values] = typeof argument === 'string' ? [argument, {}] : argument;
      return pattern.replace(/\$\{([^}]+)\}/g, (_, name: string) =>
        text(name in values ? evaluate(values[name]) : reference(name)),
      );
    },
    'Fn::FindInMap': ([map, first, second]: [string, unknown, unknown]) =>
      template.Mappings[map][text(evaluate(first))][text(evaluate(second))],
    'Fn::If': ([name, then, otherwise]: [string, unknown, unknown]) => evaluate(holds(name) ? then : otherwise),
    'Fn::Equals': ([a, b]: [unknown, unknown]) => evaluate(a) === evaluate(b),
    'Fn::Not': ([condition]: [unknown]) => !(evaluate(condition) as boolean),
    'Fn::And': (conditions: unknown[]) => conditions.every(evaluate),
    'Fn::Or': (conditions: unknown[]) => conditions.some(evaluate),
  };
  const holds = (name: string): boolean => {
    if (!(name in template.Conditions)) throw new Error(`no condition ${name}`);
    return evaluate(template.Conditions[name]) as boolean;
  };
  const evaluate = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(evaluate).filter((each) => each !== NO_VALUE);
    if (value === null || typeof value !== 'object') return value;
    const entries = Object.entries(value);
    const [[name, argument] = ['', undefined]] = entries;
    if (entries.length === 1 && name in functions) return functions[name](argument as never);
    return Object.fromEntries(
      entries.map(([key, each]) => [key, evaluate(each)]).filter(([, each]) => each !== NO_VALUE),
    );
  };
  const present = Object.entries(template.Resources).filter(
    ([, { Condition }]) => Condition === undefined || holds(Condition),
  );
  return {
    ...template,
    Resources: evaluate(Object.fromEntries(present)) as Template['Resources'],
    Outputs: evaluate(template.Outputs) as Template['Outputs'],
    ...(template.Rules === undefined ? {} : { Rules: evaluate(template.Rules) as NonNullable<Template['Rules']> }),
  };
}
