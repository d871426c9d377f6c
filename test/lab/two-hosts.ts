import type { ExecutionContext } from 'ava';
import { Lab } from './lab.ts';

/** Two hosts and a cable, for a test: `a` 192.0.2.1, `b` 192.0.2.2. */
export async function twoHosts(t: ExecutionContext): Promise<Lab> {
  const lab = new Lab();
  t.teardown(() => lab.dispose());
  await lab.host('a');
  await lab.host('b');
  await lab.link(
    { host: 'a', name: 'eth0', addresses: ['192.0.2.1/24'] },
    { host: 'b', name: 'eth0', addresses: ['192.0.2.2/24'] },
  );
  return lab;
}
