/** A gateway's status as Prometheus reads it, in its own text format or in OpenMetrics. */
import { Registry } from 'prom-client';
import type { Metric, OpenMetricsContentType } from 'prom-client';
import { isUp } from '../gateway/status.ts';
import type { GatewayStatus, LocalStatus, PathStatus, PeerStatus, ShapeStatus } from '../gateway/status.ts';
import type { RuleStatus } from '../gateway/rules.ts';
import { METRICS } from './metric-table.ts';
import type { MetricName } from './metric-table.ts';
import type { ProcessVitals } from './process-vitals.ts';

/** What one scrape sees. */
export interface Observed {
  readonly status: GatewayStatus;
  readonly process: ProcessVitals;
  /** How long the scrape waited for its turn. */
  readonly delay_s: number;
  readonly version: string;
}

export interface Exposition {
  readonly contentType: string;
  readonly text: string;
}

/** Peers and rules that have series of their own, so that neither a scrape nor what stores it grows without bound. */
export const MAX_PEERS = 1000;
export const MAX_RULES = 1000;

type Labels = Readonly<Record<string, string>>;
type Add = (name: MetricName, value: number, labels?: Labels) => void;

/** The text of a scrape. */
export async function expose(observed: Observed, openMetrics: boolean): Promise<Exposition> {
  const registry = openMetrics ? openMetricsRegistry() : new Registry();
  const families = new Map(Object.keys(METRICS).map((name) => [name, new Family(name as MetricName)]));
  // A registry asks its metrics for no more than this. Gauges and counters of its own, which look for the series that
  // each value is added to, would make a scrape cost five times as much.
  for (const family of families.values()) registry.registerMetric(family as object as Metric);
  collect(observed, (name, value, labels = {}) => families.get(name)!.values.push({ value, labels }));
  return { contentType: registry.contentType, text: await registry.metrics() };
}

function openMetricsRegistry(): Registry<OpenMetricsContentType> {
  const registry = new Registry<OpenMetricsContentType>();
  registry.setContentType(Registry.OPENMETRICS_CONTENT_TYPE);
  return registry;
}

/** A metric with its series, for one scrape: what is gone leaves none behind. */
class Family {
  /** The registry shortens it where OpenMetrics has it otherwise. */
  name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge';
  readonly values: { value: number; labels: Labels }[] = [];

  constructor(name: MetricName) {
    this.name = name;
    this.help = METRICS[name].help;
    this.type = METRICS[name].type;
  }

  get(): this {
    return this;
  }
}

function collect({ status, process, delay_s, version }: Observed, add: Add): void {
  const { gateway, aead } = status;
  add('isthmus_build_info', 1, { version, node: globalThis.process.versions.node, aead });
  add('isthmus_gateway_info', 1, { gateway, interface: status.interface });
  add('isthmus_listening', status.listening ? 1 : 0);
  add('isthmus_uptime_seconds', status.uptime_s);
  add('isthmus_mtu_bytes', status.mtu);
  add('isthmus_peers', status.peers.length);
  for (const [reason, count] of Object.entries(status.all_drops)) add('isthmus_drops_total', count, { reason });
  if (status.local !== null) collectLocal(status.local, add);
  add('isthmus_transit_queue_bytes', status.transit_queue_bytes);
  add('isthmus_flow_table_flows', status.flows.tracked);
  add('isthmus_flow_table_capacity_flows', status.flows.capacity);
  for (const peer of status.peers.slice(0, MAX_PEERS)) collectPeer(peer, add);
  for (const rule of status.rules.slice(0, MAX_RULES)) collectRule(rule, add);
  add('isthmus_metrics_left_out', Math.max(0, status.peers.length - MAX_PEERS), { kind: 'peers' });
  add('isthmus_metrics_left_out', Math.max(0, status.rules.length - MAX_RULES), { kind: 'rules' });

  for (const { name: thread, cpu_s, batches, batch_entries } of status.threads) {
    add('isthmus_thread_cpu_seconds_total', cpu_s, { thread });
    add('isthmus_thread_batches_total', batches, { thread });
    add('isthmus_thread_batch_entries_total', batch_entries, { thread });
  }
  add('isthmus_thread_cpu_seconds_total', process.main_cpu_s, { thread: 'main' });
  add('isthmus_main_thread_delay_seconds', delay_s);
  add('process_cpu_seconds_total', process.cpu_s);
  add('process_resident_memory_bytes', process.resident_bytes);
  add('process_open_fds', process.open_fds);
  add('process_max_fds', process.max_fds);
  add('process_start_time_seconds', process.started_at_s);
  add('nodejs_heap_used_bytes', process.heap_bytes);
}

function collectLocal(local: LocalStatus, add: Add): void {
  add('isthmus_local_receive_bytes_total', local.rx_bytes);
  add('isthmus_local_transmit_bytes_total', local.tx_bytes);
  add('isthmus_local_receive_packets_total', local.rx_packets);
  add('isthmus_local_transmit_packets_total', local.tx_packets);
}

function collectPeer(status: PeerStatus, add: Add): void {
  const { name: peer, last_handshake_s: age, cipher } = status;
  add('isthmus_peer_up', isUp(status) ? 1 : 0, { peer });
  add('isthmus_peer_endpoint_known', status.endpoint === null ? 0 : 1, { peer });
  add('isthmus_peer_roams_total', status.roams, { peer });
  if (cipher !== null) add('isthmus_peer_session_info', 1, { peer, cipher });
  // A clock set back makes no age below 0.
  if (age !== null) add('isthmus_peer_handshake_age_seconds', Math.max(0, age), { peer });
  add('isthmus_peer_handshakes_total', status.handshakes, { peer });
  add('isthmus_peer_handshake_initiations_total', status.initiations, { peer });
  if (status.clock_skew_s !== null) add('isthmus_peer_clock_skew_seconds', status.clock_skew_s, { peer });
  const { psk_age_s: keyAge } = status;
  if (keyAge !== null) add('isthmus_peer_psk_age_seconds', Math.max(0, keyAge), { peer });
  add('isthmus_peer_receive_bytes_total', status.rx_bytes, { peer });
  add('isthmus_peer_transmit_bytes_total', status.tx_bytes, { peer });
  add('isthmus_peer_receive_packets_total', status.rx_packets, { peer });
  add('isthmus_peer_transmit_packets_total', status.tx_packets, { peer });
  for (const [reason, count] of Object.entries(status.drops)) add('isthmus_peer_drops_total', count, { peer, reason });
  if (status.path !== null) collectPath(peer, status.path, add);
  for (const shape of status.shape) collectShape(peer, shape, add);
}

function collectPath(peer: string, { bundle, state, in_use, rtt_ms, jitter_ms, loss }: PathStatus, add: Add): void {
  const labels = { peer, bundle };
  add('isthmus_path_up', state === 'up' ? 1 : 0, labels);
  add('isthmus_path_in_use', in_use ? 1 : 0, labels);
  if (rtt_ms !== null) add('isthmus_path_rtt_seconds', rtt_ms / 1000, labels);
  if (jitter_ms !== null) add('isthmus_path_jitter_seconds', jitter_ms / 1000, labels);
  if (loss !== null) add('isthmus_path_loss_ratio', loss, labels);
}

function collectShape(peer: string, { direction, rate_bit, classes }: ShapeStatus, add: Add): void {
  add('isthmus_shape_rate_bytes_per_second', rate_bit / 8, { peer, direction });
  for (const { name, packets, bytes, delayed, drops, queued_bytes } of classes) {
    const labels = { peer, direction, class: name };
    add('isthmus_shape_class_packets_total', packets, labels);
    add('isthmus_shape_class_bytes_total', bytes, labels);
    add('isthmus_shape_class_delayed_packets_total', delayed, labels);
    add('isthmus_shape_class_dropped_packets_total', drops, labels);
    add('isthmus_shape_class_queued_bytes', queued_bytes, labels);
  }
}

function collectRule({ kind, acl, name: rule, action, direction, hits, denied }: RuleStatus, add: Add): void {
  // Lists of two kinds may share a name, and in a network ACL each direction has a rule 100.
  const more = kind === 'acl' ? {} : { kind, direction };
  const labels = { acl, rule, action, ...more };
  add('isthmus_rule_hits_total', hits, labels);
  add('isthmus_rule_denied_total', denied, labels);
}
