/** The flow logs of a gateway: each picks, writes and counts for itself. */
import type { FlowLogConfig } from '../gateway/config.ts';
import type { SeenFlow } from '../gateway/flow-view.ts';
import type { FlowSink, SeenFlows } from '../gateway/flow-watch.ts';
import { FlowFormat } from './flow-log-format.ts';
import { openFlowOutput } from './flow-log-outputs.ts';
import type { FlowOutput } from './flow-log-outputs.ts';

export class FlowLogs implements FlowSink {
  readonly #warn: (text: string) => void;
  readonly #clock: () => number;
  #logs: FlowLog[] = [];

  /** `warn` takes why records are lost. `clock`: ms, monotonic. */
  constructor(warn: (text: string) => void, clock: () => number) {
    this.#warn = warn;
    this.#clock = clock;
  }

  async configure(configs: readonly FlowLogConfig[], interfaceName: string): Promise<void> {
    const before = new Map(this.#logs.map((log) => [log.identity, log]));
    this.#logs = configs.map((config) => {
      const identity = JSON.stringify([config, interfaceName]);
      const kept = before.get(identity);
      before.delete(identity);
      return kept ?? new FlowLog(config, interfaceName, identity, openFlowOutput(config.to, this.#warn, this.#clock));
    });
    await Promise.all(Array.from(before.values(), (log) => log.close()));
  }

  async write(seconds: number, flows: SeenFlows): Promise<void> {
    const logs = this.#logs.filter(({ interval }) => interval === seconds);
    for (const log of logs) log.begin(flows.start);
    const take = (flow: SeenFlow): void => {
      for (const log of logs) log.take(flow);
    };
    await flows.forEach(take, async () => {
      await Promise.all(logs.map((log) => log.flush()));
    });
    await Promise.all(logs.map((log) => log.end(flows)));
  }

  async close(): Promise<void> {
    await Promise.all(this.#logs.map((log) => log.close()));
    this.#logs = [];
  }
}

class FlowLog {
  readonly identity: string;
  readonly interval: number;
  readonly #format: FlowFormat;
  readonly #traffic: FlowLogConfig['traffic'];
  readonly #peerings: ReadonlySet<string>;
  readonly #output: FlowOutput;
  #lines: string[] = [];
  #written = 0;
  /** Since when records have been lost that no SKIPDATA speaks of yet; undefined: none are. */
  #lostSince: number | undefined;
  #start = 0;

  constructor(config: FlowLogConfig, interfaceName: string, identity: string, output: FlowOutput) {
    this.identity = identity;
    this.interval = config.interval;
    this.#format = new FlowFormat(config.format, {
      'interface-id': interfaceName,
      ...config.values,
    });
    this.#traffic = config.traffic;
    this.#peerings = new Set(config.peerings);
    this.#output = output;
  }

  begin(start: number): void {
    this.#start = start;
    this.#written = 0;
  }

  take(flow: SeenFlow): void {
    if (this.#traffic !== 'all' && (this.#traffic === 'accept') !== (flow.reason === 'none')) return;
    if (this.#peerings.size > 0 && (flow.peering === undefined || !this.#peerings.has(flow.peering))) return;
    this.#lines.push(this.#format.line(flow));
  }

  async flush(): Promise<void> {
    if (this.#lines.length === 0) return;
    const lines = this.#lines;
    this.#lines = [];
    this.#written += lines.length;
    if (!(await this.#output.write(`${lines.join('\n')}\n`))) this.#lostSince ??= this.#start;
  }

  /** The line for what is missing, or for nothing at all. */
  async end({ start, end, skipped }: SeenFlows): Promise<void> {
    if (skipped > 0) this.#lostSince ??= start;
    const since = this.#lostSince;
    if (since !== undefined) {
      if (await this.#output.write(`${this.#format.emptyLine('SKIPDATA', since, end)}\n`)) this.#lostSince = undefined;
    } else if (this.#written === 0) {
      if (!(await this.#output.write(`${this.#format.emptyLine('NODATA', start, end)}\n`))) this.#lostSince = start;
    }
  }

  close(): Promise<void> {
    return this.#output.close();
  }
}
