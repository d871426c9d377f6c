import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The npm packages that the program in the folder `root` uses when it runs, as the lock file has them: paths under node_modules. */
export function dependencies(root) {
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
  const needed = Object.entries(packages).filter(([path, { dev, devOptional }]) => path !== '' && !dev && !devOptional);
  return needed.map(([path]) => path).filter((path) => existsSync(join(root, path)));
}
