/** What the control plane and the two data-plane threads say to each other. All of it is rare. */
import type { AclProgram } from '../policy/acl.ts';
import type { FlowLogData } from '../policy/flow-log-table.ts';
import type { FlowTableData } from '../policy/flow-table.ts';
import type { PolicyCounters } from '../policy/counters.ts';
import type { ShapeSpec } from '../policy/shaper.ts';
import type { RoutingProgram } from '../routing/routing.ts';
import type { Counter } from '../session/constants.ts';
import type { Endpoint } from '../wire/endpoint.ts';
import type { GatewayAddresses } from '../wire/icmp.ts';
import type { KeyHandle } from '../nic/index.ts';
import type { BundleData } from './bundle.ts';
import type { ProbeMemory } from './probes.ts';
import type { LiveTraceData } from './live.ts';

/** Main thread to both threads. */
export type SharedOrder =
  | { type: 'socket'; fd: number; gso: boolean }
  | { type: 'mtu'; mtu: number }
  /** What the gateway's ICMP errors come from. */
  | { type: 'addresses'; addresses: GatewayAddresses }
  | { type: 'routing'; routing: RoutingProgram }
  /** All bundles anew, with the paths that packets may take. */
  | { type: 'bundles'; bundles: BundleData }
  /** Where probes are noted; and the gateway's overlay addresses, at which it answers them, four words each. */
  | { type: 'probes'; memory: ProbeMemory; addresses: Int32Array }
  /** From now on every packet is judged; a device without this is plain WireGuard, where allowed IPs decide. */
  | { type: 'policy'; program: AclProgram; flows: FlowTableData; counters: PolicyCounters }
  /** The peer's ACL, -1 for none; said anew when its endpoint was set other than by its data. */
  | { type: 'peer'; slot: number; acl: number }
  /** How much may go through the peering in the thread's direction, and where that is counted; undefined: as much as will. */
  | { type: 'shape'; slot: number; spec: ShapeSpec | undefined; counters: Float64Array }
  | { type: 'peerGone'; slot: number }
  /** Note from now on into this table what is seen, or, without one, nothing; the table before is let go of. */
  | { type: 'flowLog'; into: FlowLogData | undefined }
  /** What is added to the numbers of the policy's rules in that table, as they change with it; -1: they are not known. */
  | { type: 'flowRules'; base: number }
  /** Note what is decided about packets that match; undefined: no more. */
  | { type: 'liveTrace'; into: LiveTraceData | undefined }
  | { type: 'stop' };

export type OutboundOrder =
  | SharedOrder
  /** Seal under this key from now on, until `expiresAt` (boot-clock ms), with counters from `first` on, or from 0. */
  | { type: 'sendKey'; slot: number; key: KeyHandle; receiver: number; expiresAt: number; first?: Counter }
  | { type: 'sendKeyGone'; slot: number; key: KeyHandle }
  | { type: 'keepalive'; slot: number }
  /** Send a probe to the peer, or, with `sequence` -1, the answer to one or what else the gateway itself has to say. */
  | { type: 'probe'; slot: number; packet: Uint8Array; sequence: number }
  | { type: 'discardStaged'; slot: number };

export type InboundOrder =
  | SharedOrder
  /** Open messages to `index` by this key. `confirmed`: an initiator's; a responder's waits for its first message. */
  | { type: 'receiveKey'; slot: number; key: KeyHandle; index: number; confirmed: boolean; expiresAt: number }
  | { type: 'receiveKeyGone'; index: number }
  /** From now on what the peers' gateways say about their peerings is for the main thread. */
  | { type: 'control' };

/** A data-plane thread to the main thread. */
export type Report =
  /** `tid`: the kernel's number of the thread. */
  | { type: 'ready'; tid: number }
  /** The thread no longer uses this socket. */
  | { type: 'released'; fd: number }
  /** A handshake message or cookie reply. */
  | { type: 'handshake'; message: Uint8Array; from: Endpoint }
  /** A packet waits for a session, or the key's counter calls for a new one. */
  | { type: 'wanted'; slot: number }
  /** The first message under a responder's new keypair. */
  | { type: 'confirmed'; slot: number; index: number }
  /** The peer asked whether the path is alive, and this is the answer. No further one before this is taken. */
  | { type: 'probed'; slot: number; answer: Uint8Array }
  /** What the peer's gateway says about the peering. */
  | { type: 'control'; slot: number; payload: Uint8Array }
  | { type: 'tunFailed'; error: number }
  /** Packets are no longer written to the capture file. */
  | { type: 'captureEnded'; reason: string };

/** Words of the Int32Array that both sides of a thread share. */
export const SHARED = {
  /** Orders posted so far. */
  orders: 0,
  /** Handshake messages posted by the inbound thread and not yet taken by the main thread. */
  handshakes: 1,
  /** What `orders` was when the thread last looked: it goes on following while it runs. */
  obeyed: 2,
  words: 3,
} as const;

/** Handshake messages that may wait; more are dropped, so that a flood can't grow memory. */
export const MAX_QUEUED_HANDSHAKES = 1024;
