/** What a packet passes in either direction, each part in the state that the control plane last ordered. */
import type { Queue } from '../nic/index.ts';
import { Policy } from '../policy/policy.ts';
import { Routing } from '../routing/routing.ts';
import type { Counters } from './counters.ts';
import { HeldRows } from './held-rows.ts';
import { LiveTrace } from './live.ts';
import type { SharedOrder } from './messages.ts';
import { Pacing } from './pacing.ts';
import { Seen } from './seen.ts';
import { Shaping } from './shaping.ts';
import { Verdict } from './verdict.ts';

export class Stages {
  readonly verdict = new Verdict();
  readonly seen: Seen;
  readonly live = new LiveTrace();
  readonly pacing: Pacing;
  readonly shaping: Shaping;

  /** `direction`: IN or OUT. */
  constructor(queue: Queue, counters: Counters, direction: number) {
    this.seen = new Seen(direction);
    const held = new HeldRows(queue);
    this.shaping = new Shaping(queue, counters, held);
    this.pacing = new Pacing(queue, counters, held);
  }

  /** Obeys an order, as far as it concerns these. */
  apply(order: SharedOrder): void {
    switch (order.type) {
      case 'mtu':
        this.verdict.mtu = order.mtu;
        break;
      case 'routing':
        this.verdict.routing = new Routing(order.routing);
        break;
      case 'bundles':
        this.verdict.bundles.use(order.bundles);
        break;
      case 'policy':
        this.verdict.policy = new Policy(order.program, order.flows, order.counters);
        this.pacing.use(order.program, order.flows.tags.length);
        this.shaping.useRules(order.program.names);
        break;
      case 'peer':
        this.verdict.acls[order.slot] = order.acl;
        break;
      case 'shape':
        this.shaping.set(order.slot, order.spec, order.counters);
        break;
      case 'peerGone':
        this.shaping.forget(order.slot);
        this.pacing.forget(order.slot);
        this.verdict.acls[order.slot] = -1;
        break;
      case 'flowLog':
        this.seen.use(order.into);
        break;
      case 'flowRules':
        this.seen.countRulesFrom(order.base);
        break;
      case 'liveTrace':
        this.live.use(order.into);
        break;
    }
  }
}
