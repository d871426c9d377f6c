/** Every metric of a gateway, with the text of its HELP line. docs/metrics.md shows this table. */

export interface MetricFamily {
  readonly type: 'counter' | 'gauge';
  readonly labels: readonly string[];
  readonly help: string;
}

const counter = (labels: readonly string[], help: string): MetricFamily => ({ type: 'counter', labels, help });
const gauge = (labels: readonly string[], help: string): MetricFamily => ({ type: 'gauge', labels, help });

const PEER = ['peer'];
const THREAD = ['thread'];
const PATH = ['peer', 'bundle'];
const SHAPE = ['peer', 'direction'];
const CLASS = [...SHAPE, 'class'];
const RULE = ['acl', 'rule', 'action', 'kind', 'direction'];

/** In the order of the exposition. */
export const METRICS = {
  isthmus_build_info: gauge(['version', 'node', 'aead'], 'Always 1; the labels say what runs.'),
  isthmus_gateway_info: gauge(['gateway', 'interface'], 'Always 1; the labels name the gateway and its TUN.'),
  isthmus_listening: gauge([], '1 while the interface is up and the UDP port is open, else 0.'),
  isthmus_uptime_seconds: gauge([], 'Time since the gateway was started.'),
  isthmus_mtu_bytes: gauge([], 'The largest packet that the overlay carries.'),
  isthmus_peers: gauge([], 'Peerings that carry packets: those of the file, and requested ones that were accepted.'),
  isthmus_drops_total: counter(
    ['reason'],
    'Packets dropped, by reason, of all peers together and of none. Every reason is there from the start.',
  ),
  isthmus_local_receive_bytes_total: counter([], 'Bytes of the overlay that came from the local VPC.'),
  isthmus_local_transmit_bytes_total: counter([], 'Bytes of the overlay that went to the local VPC.'),
  isthmus_local_receive_packets_total: counter([], 'Packets that came from the local VPC; a super-packet counts once.'),
  isthmus_local_transmit_packets_total: counter([], 'Packets that went to the local VPC; a super-packet counts once.'),
  isthmus_transit_queue_bytes: gauge([], 'What waits on its way from peer to peer.'),
  isthmus_flow_table_flows: gauge([], 'Flows that are tracked; in a table of more than 131,072 an estimate.'),
  isthmus_flow_table_capacity_flows: gauge([], 'Flows that the flow table has room for.'),

  isthmus_peer_up: gauge(PEER, '1 if a handshake with the peer succeeded in the last 180 s, else 0.'),
  isthmus_peer_endpoint_known: gauge(PEER, '1 if it is known where the peer can be called, else 0.'),
  isthmus_peer_roams_total: counter(PEER, 'How often the peer was found at another address or port than before.'),
  isthmus_peer_session_info: gauge(['peer', 'cipher'], 'Always 1; the cipher of the last handshake. Absent before it.'),
  isthmus_peer_handshake_age_seconds: gauge(PEER, 'Time since the last handshake. Absent before the first.'),
  isthmus_peer_handshakes_total: counter(
    PEER,
    'Handshakes that succeeded, whoever began them. While the peer is up each renews the keys (a rekey).',
  ),
  isthmus_peer_handshake_initiations_total: counter(PEER, 'Handshakes begun by this gateway, answered or not.'),
  isthmus_peer_clock_skew_seconds: gauge(
    PEER,
    "How far the peer's clock was ahead of ours when it last began a handshake. Absent if it has not for 15 minutes.",
  ),
  isthmus_peer_psk_age_seconds: gauge(
    PEER,
    'Time since the file that has the PSK was written, or the peering requested. Absent where that is not known.',
  ),
  isthmus_peer_receive_bytes_total: counter(PEER, 'Bytes received from the peer on the underlay.'),
  isthmus_peer_transmit_bytes_total: counter(PEER, 'Bytes sent to the peer on the underlay.'),
  isthmus_peer_receive_packets_total: counter(PEER, 'Packets of the overlay received from the peer.'),
  isthmus_peer_transmit_packets_total: counter(PEER, 'Packets of the overlay sent to the peer.'),
  isthmus_peer_drops_total: counter(
    ['peer', 'reason'],
    'Packets dropped of one peer, by reason. A reason appears with its first packet.',
  ),

  isthmus_path_up: gauge(PATH, '1 if the path of a bundle is up, 0 if it is down, damped or not known yet.'),
  isthmus_path_in_use: gauge(PATH, '1 if packets take the path now, else 0.'),
  isthmus_path_rtt_seconds: gauge(PATH, 'Round trip of the probes. Absent without probes, and before an answer.'),
  isthmus_path_jitter_seconds: gauge(PATH, 'How much the round trips differ. Absent like the round trip.'),
  isthmus_path_loss_ratio: gauge(PATH, 'Share of the last probes without an answer, 0 to 1. Absent without probes.'),

  isthmus_shape_rate_bytes_per_second: gauge(SHAPE, 'What may go in this direction.'),
  isthmus_shape_class_packets_total: counter(CLASS, 'Packets of the overlay that went on.'),
  isthmus_shape_class_bytes_total: counter(CLASS, 'Bytes of the overlay that went on.'),
  isthmus_shape_class_delayed_packets_total: counter(CLASS, 'Packets that had to wait before they went on.'),
  isthmus_shape_class_dropped_packets_total: counter(CLASS, 'Packets for which there was no room to wait.'),
  isthmus_shape_class_queued_bytes: gauge(CLASS, 'What waits now.'),

  isthmus_rule_hits_total: counter(RULE, 'Packets that the rule decided: those that began a flow, or were denied.'),
  isthmus_rule_denied_total: counter(RULE, 'Packets that the rule denied.'),

  isthmus_thread_cpu_seconds_total: counter(
    THREAD,
    'CPU time of a thread: outbound (TUN to UDP), inbound (UDP to TUN), main (all else). Its rate is the busy share.',
  ),
  isthmus_thread_batches_total: counter(THREAD, 'Batches that a data-plane thread carried.'),
  isthmus_thread_batch_entries_total: counter(
    THREAD,
    'What the batches held: packets and super-packets read from the TUN, or buffers received. By batches it is their size.',
  ),
  isthmus_main_thread_delay_seconds: gauge([], 'How long this scrape waited for the turn of the main thread.'),
  isthmus_metrics_left_out: gauge(
    ['kind'],
    'Peers and rules that these metrics leave out, as there are too many of them.',
  ),

  process_cpu_seconds_total: counter([], 'CPU time of the process, user and system.'),
  process_resident_memory_bytes: gauge([], 'Memory of the process that is in RAM.'),
  process_open_fds: gauge([], 'Open file descriptors.'),
  process_max_fds: gauge([], 'File descriptors that may be open.'),
  process_start_time_seconds: gauge([], 'When the process was started, in seconds since 1970.'),
  nodejs_heap_used_bytes: gauge([], "Memory that the main thread's objects use."),
} as const satisfies Record<string, MetricFamily>;

export type MetricName = keyof typeof METRICS;
