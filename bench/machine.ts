/** What the figures were made on. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, release, totalmem } from 'node:os';

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memory_gib: number;
  readonly kernel: string;
  readonly node: string;
  readonly aead: string;
  readonly iperf3: string;
}

export function describeMachine(addon: string): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memory_gib: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.versions.node,
    aead: aeadLibrary(addon),
    iperf3: execFileSync('iperf3', ['--version'], { encoding: 'utf8' }).split(' ')[1] ?? 'unknown',
  };
}

/** The library that seals and opens: Intel's is told by its name inside the addon, whether linked or loaded. */
function aeadLibrary(addon: string): string {
  const openssl = `OpenSSL ${process.versions.openssl}`;
  const intel = /(?:intel-ipsec-mb|IPSec_MB|ipsec-mb)/i.exec(readFileSync(addon, 'latin1'));
  return intel === null ? openssl : `libipsec-mb, ${openssl} where the CPU lacks what it needs`;
}
