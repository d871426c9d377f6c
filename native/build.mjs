// Builds the addon. Node's headers are taken from beside the node binary; node-gyp asks the network for them only if
// they are not there. `--sanitize` builds a second copy, with ASan and UBSan, into build/sanitized/. `--unless-prebuilt`
// does nothing where a package brought an addon that this machine can load.
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, realpathSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const require = createRequire(import.meta.url);
const root = dirname(dirname(fileURLToPath(import.meta.url)));
const prefix = dirname(dirname(realpathSync(process.execPath)));
const sanitize = process.argv.includes('--sanitize');

if (process.argv.includes('--unless-prebuilt') && isPrebuilt()) process.exit();

/** node-gyp reads the working folder's binding.gyp and writes build/ there; the sanitized copy gets a folder of its own. */
let folder = root;
if (sanitize) {
  folder = join(root, 'build', 'sanitized');
  mkdirSync(folder, { recursive: true });
  for (const part of ['binding.gyp', 'native']) cpSync(join(root, part), join(folder, part), { recursive: true });
}

const nodeGyp = findNodeGyp();
const headers = existsSync(join(prefix, 'include/node/node_api.h')) ? [`--nodedir=${prefix}`] : [];
/** Intel's multi-buffer library, linked whole so that an installed addon needs nothing more. */
const ipsecMb = ['/usr/lib/x86_64-linux-gnu', '/usr/local/lib', '/usr/lib64', '/usr/lib']
  .map((folder) => join(folder, 'libIPSec_MB.a'))
  .find((path) => process.arch === 'x64' && existsSync(path));
const defines = ['--', ...(sanitize ? ['-Dsanitize=1'] : []), ...(ipsecMb ? [`-Dipsec_mb=${ipsecMb}`] : [])];
const steps = [
  ['configure', ...headers, ...defines],
  ['build', '--jobs=2'],
];
for (const step of steps) {
  const { status } = spawnSync(process.execPath, [nodeGyp, '--loglevel=warn', ...step], { cwd: folder, stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}

function isPrebuilt() {
  // Read when node-gyp-build is loaded: what was compiled here before is not meant.
  process.env.PREBUILDS_ONLY = '1';
  try {
    require('node-gyp-build')(root);
    return true;
  } catch {
    return false;
  }
}

/** A checkout's own, or, where the package is installed, the one that npm has for such cases. */
function findNodeGyp() {
  try {
    return require.resolve('node-gyp/bin/node-gyp.js');
  } catch {
    return process.env.npm_config_node_gyp;
  }
}
