// Statuses of gateways, as plain data, for what reads them.
import type { GatewayStatus, PeerStatus } from '../../src/gateway/status.ts';
import type { RuleStatus } from '../../src/gateway/rules.ts';
import type { Observed } from '../../src/observe/metrics.ts';

export const PEER: PeerStatus = {
  name: 'beijing',
  endpoint: '203.0.113.7:51820',
  roams: 1,
  cipher: 'aes-256-gcm',
  public_key: 'nobody-may-see-this-in-a-metric',
  psk: 'current',
  psk_age_s: 86_400,
  last_handshake_s: 12,
  handshakes: 3,
  initiations: 4,
  has_session: true,
  unanswered: 0,
  unconfirmed: 0,
  clock_skew_s: 0.1,
  rx_bytes: 2 ** 52 + 1,
  tx_bytes: 2000,
  rx_packets: 30,
  tx_packets: 40,
  routes: ['192.168.0.0/16'],
  acl: 'web',
  security_groups: [],
  network_acl: null,
  learnt_routes: [],
  shape: [],
  path: { bundle: 'north', state: 'up', in_use: true, rtt_ms: 12.5, jitter_ms: 0.5, loss: 0.25 },
  drops: { 'acl-default': 5 },
};

export const RULE: RuleStatus = {
  kind: 'acl',
  acl: 'web',
  name: 'https',
  action: 'allow',
  direction: 'both',
  line: 1,
  hits: 6,
  denied: 0,
};

export const STATUS: GatewayStatus = {
  gateway: 'ningxia',
  interface: 'ist0',
  port: 51820,
  mtu: 1420,
  addresses: ['10.8.0.1/30'],
  subnets: ['172.31.0.0/16'],
  uptime_s: 100,
  aead: 'ipsec-mb avx512',
  peers: [PEER],
  rules: [RULE],
  listening: true,
  local: { rx_bytes: 5000, tx_bytes: 6000, rx_packets: 50, tx_packets: 60 },
  transit_queue_bytes: 640,
  flows: { tracked: 17, capacity: 1024, displaced: 0, out_of_window: 0 },
  threads: [
    { name: 'outbound', cpu_s: 1.25, batches: 10, batch_entries: 25 },
    { name: 'inbound', cpu_s: 2.5, batches: 20, batch_entries: 35 },
  ],
  refused: [{ from: '198.51.100.9:40000', peering: null, reason: 'bad-mac1', count: 3, last_s: 7 }],
  all_drops: { 'no-route': 0, 'acl-default': 5 },
  drops: {},
};

/** What a scrape of this gateway sees. */
export function observed(status: Partial<GatewayStatus> = {}): Observed {
  return {
    status: { ...STATUS, ...status },
    process: {
      cpu_s: 4,
      main_cpu_s: 0.25,
      resident_bytes: 1e8,
      heap_bytes: 1e7,
      open_fds: 30,
      max_fds: Infinity,
      started_at_s: 1.7e9,
    },
    delay_s: 0.0005,
    version: '1.2.3',
  };
}
