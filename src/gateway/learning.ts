/** What the peerings of a gateway have learnt from a routing daemon, kept up to date while the gateway runs. */
import { formatPrefix } from '../routing/prefix.ts';
import type { GatewayConfig } from './config.ts';
import { KernelRoutes } from './kernel-routes.ts';
import { learn, withLearnt } from './learnt-routes.ts';
import type { KernelRoute, Learnt } from './learnt-routes.ts';
import type { Log } from './tunnel.ts';

export class Learning {
  readonly #name: () => string;
  readonly #changed: () => void;
  readonly #log: Log;
  #config: GatewayConfig;
  #kernel: readonly KernelRoute[] = [];
  #learnt: Learnt = { routes: new Map(), refused: [] };
  #watch: KernelRoutes | undefined;

  /** `name` gives the interface's name; `changed` is called when other routes are learnt than before. */
  constructor(config: GatewayConfig, name: () => string, changed: () => void, log: Log) {
    this.#config = config;
    this.#name = name;
    this.#changed = changed;
    this.#log = log;
  }

  /** Takes up a configuration; watches the kernel if a peering learns. */
  configure(config: GatewayConfig): void {
    this.#config = config;
    this.#learnt = learn(config, this.#kernel);
    const isWanted = config.peerings.some((peering) => peering.learn !== undefined);
    if (isWanted) {
      this.#watch ??= new KernelRoutes(this.#name, (routes) => this.#take(routes), this.#log);
      return;
    }
    this.close();
    this.#kernel = [];
  }

  /** The configuration with what was learnt as if the file had it. */
  get config(): GatewayConfig {
    return withLearnt(this.#config, this.#learnt);
  }

  /** As text, in the order of their addresses. */
  routesOf(peering: string): string[] {
    return (this.#learnt.routes.get(peering) ?? []).map(formatPrefix);
  }

  close(): void {
    this.#watch?.close();
    this.#watch = undefined;
  }

  #take(kernel: readonly KernelRoute[]): void {
    const before = this.#learnt;
    this.#kernel = kernel;
    this.#learnt = learn(this.#config, kernel);
    for (const line of this.#learnt.refused) {
      if (!before.refused.includes(line)) this.#log.warn(`a route is not learnt: ${line}`);
    }
    const text = ({ routes }: Learnt) => JSON.stringify([...routes]);
    if (text(before) === text(this.#learnt)) return;
    const count = [...this.#learnt.routes.values()].reduce((sum, { length }) => sum + length, 0);
    this.#log.info(`routes learnt from the kernel: ${count}`);
    this.#changed();
  }
}
