/**
 * What a gateway leaves to the process that comes after it: its interface, which a supervisor holds meanwhile, and the
 * flows that it tracks. Addresses and routes hang on the interface and stay with it.
 */
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { adoptTun, bootTime, closeFd } from '../nic/native.ts';
import type { Tun } from '../nic/native.ts';
import { copyFlows, pasteFlows } from '../policy/flow-copy.ts';
import type { FlowTableData } from '../policy/flow-table.ts';
import { canonical, parsePrefix } from '../routing/prefix.ts';
import type { Prefix } from '../routing/prefix.ts';
import type { LinkState } from './link.ts';
import { ip } from './network.ts';
import type { Log } from './tunnel.ts';

/** A supervisor's part in it. */
export interface Handover {
  /** The interface that was kept; undefined: there is none. */
  readonly descriptor: number | undefined;
  /** Has the interface kept. */
  readonly keep: (descriptor: number) => void;
}

/** Begins a file of flows; another layout gets another word. */
const MAGIC = 0x49465731;

/** The interface that was kept, if it still exists under this name; otherwise the descriptor is closed. */
export function adoptInterface(fd: number, name: string): Tun | undefined {
  try {
    const tun = adoptTun(fd);
    if (tun.name === name) return tun;
  } catch {
    // It was deleted meanwhile.
  }
  closeFd(fd);
  return undefined;
}

/** What the interface `name` has: its addresses, the routes that no routing daemon made, and, given, its MTU. */
export async function presentLink(name: string, mtu: number): Promise<LinkState> {
  const addresses = async (): Promise<Prefix[]> => {
    const text = await ip('-json', 'address', 'show', 'dev', name, 'scope', 'global');
    const links = JSON.parse(text) as { addr_info?: { local: string; prefixlen: number }[] }[];
    return links.flatMap(({ addr_info: all = [] }) =>
      all.map(({ local, prefixlen }) => parsePrefix(`${local}/${prefixlen}`)),
    );
  };
  const routes = async (family: 4 | 6): Promise<Prefix[]> => {
    const text = await ip('-json', `-${family}`, 'route', 'show', 'dev', name, 'proto', 'boot');
    const found = (text.trim() === '' ? [] : JSON.parse(text)) as { dst: string }[];
    const all = family === 4 ? '0.0.0.0/0' : '::/0';
    return found.map(({ dst }) => canonical(parsePrefix(dst === 'default' ? all : dst)));
  };
  const [present, routes4, routes6] = await Promise.all([addresses(), routes(4), routes(6)]);
  return { addresses: present, routes: [...routes4, ...routes6], mtu };
}

/** Writes the flows of a table that no thread uses any more, with the names of the peers that they are of. */
export function leaveFlows(path: string, flows: FlowTableData, peers: ReadonlyMap<number, string>, log: Log): void {
  const names = Buffer.from(JSON.stringify([...peers]));
  const head = Int32Array.of(MAGIC, names.length);
  const copy = copyFlows(flows, now());
  const draft = `${path}.new`;
  try {
    rmSync(draft, { force: true });
    const parts = [head, copy].map(({ buffer, byteOffset, byteLength }) => Buffer.from(buffer, byteOffset, byteLength));
    writeFileSync(draft, Buffer.concat([parts[0], names, parts[1]]), { mode: 0o600, flag: 'wx' });
    renameSync(draft, path);
  } catch (error) {
    log.warn(`the tracked flows are not kept: ${(error as Error).message}`);
  }
}

/** Takes the flows that were left, once; `peers` are the present numbers of peers. Returns how many there are. */
export function takeFlows(path: string, flows: FlowTableData, peers: ReadonlyMap<string, number>): number {
  let file: Buffer;
  try {
    file = readFileSync(path);
    rmSync(path);
  } catch {
    return 0;
  }
  try {
    if (file.readInt32LE(0) !== MAGIC) return 0;
    const end = 8 + file.readInt32LE(4);
    const names = new Map(JSON.parse(file.toString('utf8', 8, end)) as [number, string][]);
    const copy = new Int32Array(new Uint8Array(file.subarray(end)).buffer);
    return pasteFlows(flows, copy, (peer) => peers.get(names.get(peer) ?? ''), now());
  } catch {
    // Cut off or damaged: connections begin anew, as they would without it.
    return 0;
  }
}

function now(): number {
  return Math.floor(bootTime() / 1000);
}
