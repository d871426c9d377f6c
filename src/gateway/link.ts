/** What a gateway has the kernel do for it: addresses, routes and MTU of its interface, changed all or not at all. */
import type { Prefix } from '../routing/prefix.ts';
import { formatPrefix } from '../routing/prefix.ts';
import { addAddress, addRoutes, ip, removeAddress, removeRoutes } from './network.ts';
import type { Log } from './tunnel.ts';

export interface LinkState {
  readonly addresses: readonly Prefix[];
  readonly routes: readonly Prefix[];
  readonly mtu: number;
}

/** A change that was begun: what is new is there, what is old is there still. */
export interface LinkChange {
  /** Takes away what is old. What can't be taken away, as somebody else did, is logged. */
  finish(): Promise<void>;
  /** Takes away what is new. */
  undo(): Promise<void>;
}

type Step = () => Promise<unknown>;

/** Gives the interface `name` what `next` has and `before` has not. Throws if the system refuses a part, having undone the rest. */
export async function changeLink(name: string, before: LinkState, next: LinkState, log: Log): Promise<LinkChange> {
  const undos: Step[] = [];
  const finishes: Step[] = [];
  const undo = async (): Promise<void> => {
    for (const step of undos.reverse()) await tolerant(step, log);
  };
  try {
    const addresses = compare(before.addresses, next.addresses);
    for (const address of addresses.added) {
      await addAddress(name, address);
      undos.push(() => removeAddress(name, address));
    }
    for (const address of addresses.removed) finishes.push(() => removeAddress(name, address));
    // The first address of a network takes the others of that network along when it goes.
    if (addresses.removed.length > 0)
      for (const address of next.addresses) finishes.push(() => addAddress(name, address));
    const routes = compare(before.routes, next.routes);
    // Of routes that are refused in part, the others are there; and those that were there before are somebody else's.
    await addRoutes(name, routes.added, (made) => undos.push(() => removeRoutes(name, made)));
    finishes.push(() => removeRoutes(name, routes.removed));
    if (next.mtu !== before.mtu) {
      await setMtu(name, next.mtu);
      undos.push(() => setMtu(name, before.mtu));
    }
  } catch (error) {
    await undo();
    throw error;
  }
  const finish = async (): Promise<void> => {
    for (const step of finishes) await tolerant(step, log);
  };
  return { finish, undo };
}

function setMtu(name: string, mtu: number): Promise<unknown> {
  return ip('link', 'set', 'dev', name, 'mtu', String(mtu));
}

async function tolerant(step: Step, log: Log): Promise<void> {
  try {
    await step();
  } catch (error) {
    log.warn((error as Error).message);
  }
}

function compare(before: readonly Prefix[], next: readonly Prefix[]): { added: Prefix[]; removed: Prefix[] } {
  const [old, now] = [before, next].map((list) => new Map(list.map((prefix) => [formatPrefix(prefix), prefix])));
  return {
    added: [...now].filter(([text]) => !old.has(text)).map(([, prefix]) => prefix),
    removed: [...old].filter(([text]) => !now.has(text)).map(([, prefix]) => prefix),
  };
}
