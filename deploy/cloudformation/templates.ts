/** The templates as text. Nothing is asked of AWS: no credentials, no network. */
import { App, DefaultStackSynthesizer } from 'aws-cdk-lib/core';
import type { Environment, IStackSynthesizer } from 'aws-cdk-lib/core';
import { stringify } from 'yaml';
import type { Side } from './parameters.ts';
import { GatewayStack } from './stack.ts';

export const SIDES: readonly Side[] = ['server', 'client'];

/** The template of a side as an object. It is the same for every environment, which only tests name. */
export function synthesise(side: Side, env?: Environment): object {
  const app = new App({ analyticsReporting: false });
  const stack = new GatewayStack(app, side, {
    // The template is published alone: it must not ask for what `cdk bootstrap` makes.
    // (The class declares optional properties in a way that exactOptionalPropertyTypes does not take for its interface's.)
    synthesizer: new DefaultStackSynthesizer({ generateBootstrapVersionRule: false }) as IStackSynthesizer,
    ...(env === undefined ? {} : { env }),
  });
  return app.synth().getStackByName(stack.stackName).template as object;
}

/** The text of the published file: deploy/cloudformation/SIDE.yaml. */
export function templateText(side: Side): string {
  const heading = `# Made by \`npm run templates\` from the sources beside it: change those. docs/ec2.md shows how to use it.\n`;
  return heading + stringify(synthesise(side), { lineWidth: 0, aliasDuplicateObjects: false, version: '1.1' });
}
