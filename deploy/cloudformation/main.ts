/** `npm run templates`: writes the published templates. */
import { writeFileSync } from 'node:fs';
import { SIDES, templateText } from './templates.ts';

for (const side of SIDES) {
  const path = `deploy/cloudformation/${side}.yaml`;
  writeFileSync(path, templateText(side));
  process.stdout.write(`wrote ${path}\n`);
}
