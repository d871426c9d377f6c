/** The way to each peer, and whether handshakes with it succeed; if not, at which end and for what. */
import type { PeeringConfig } from '../gateway/config.ts';
import { UNDERLAY_OVERHEAD } from '../gateway/network.ts';
import type { GatewayStatus, PeerStatus, RefusalStatus } from '../gateway/status.ts';
import type { Configured, EndpointState } from './context.ts';
import { fault, ok, warning, type Said } from './findings.ts';

/** Refused messages that are older say nothing of now, in s. */
const RECENT_S = 600;
/** Messages that were on their way when a handshake succeeded, or came twice, are no sign of trouble, in s. */
const SETTLING_S = 2;
/** A caller has had time to call after so long, in s. */
const SETTLED_S = 10;
/** A peer that goes on calling does so every 5 s or so. */
const RETRY_S = 8;
/** So many packets of the kernel's own (multicast listeners, say) mean nothing. */
const NOISE = 20;
/** Clocks of two hosts that are further apart are not both right, in s. */
const SKEW_S = 5;

/** Endpoints as the file has them, whether or not the gateway runs. */
export function checkEndpoints(context: Configured): Said[] {
  return [...context.endpoints].flatMap(([name, endpoint]) => checkEndpoint(name, endpoint, context));
}

function checkEndpoint(name: string, endpoint: EndpointState, context: Configured): Said[] {
  const { config, network, running } = context;
  const { host, port, address } = endpoint;
  if (address === undefined) {
    const why = 'The gateway asks again every 30 s, and cannot call the peer until it has an address.';
    return [fault('endpoint-name', `${host} has no address`, why, `getent ahosts ${host}`, name)];
  }
  const said = [ok('endpoint-name', host === address ? `${host} is an address` : `${host} is ${address}`, name)];
  const way = network.ways.get(address);
  if (way?.local === true) {
    const why = 'The gateway calls itself.';
    const seen = `${address} is an address of this host`;
    said.push(fault('endpoint-self', seen, why, "endpoint: ADDRESS_OF_THE_PEER:PORT, in this host's file", name));
    return said;
  }
  said.push(ok('endpoint-self', `${address} is another host`, name));
  if (way?.device === undefined) {
    const why = 'No datagram leaves for the peer.';
    said.push(fault('endpoint-route', `there is no route to ${address}`, why, `ip route get ${address}`, name));
    return said;
  }
  if (way.device === config.interface) {
    const why = 'The encrypted datagrams go into the tunnel themselves, round and round.';
    const seen = `the route to ${address} leads into ${config.interface}`;
    const fix = `ip route add ${address} via GATEWAY_OF_THE_UNDERLAY`;
    said.push(fault('endpoint-route', seen, why, fix, name));
    return said;
  }
  said.push(ok('endpoint-route', `${address} is reached by ${way.device}`, name));
  if (endpoint.answersSmall === true && endpoint.answersFull === false) {
    const why = 'Small packets pass and full ones vanish: pings work, and downloads hang.';
    const seen = `${address} answers small echo requests and none of the size of a full datagram`;
    const fix = `tracepath -n ${address}   # shows the size that passes; gateway.mtu: that less ${UNDERLAY_OVERHEAD[address.includes(':') ? 6 : 4]}`;
    said.push(fault('path-mtu', seen, why, fix, name));
  } else if (endpoint.answersFull === true) {
    said.push(ok('path-mtu', `echo requests of the size of a full datagram are answered`, name));
  }
  if (endpoint.refused === true) {
    const why = "The peer's host is up and its gateway is not, or listens at another port.";
    const seen = `${address} says that nothing listens at UDP port ${port}`;
    // Before a start the peer's gateway may not have been started either.
    said.push(
      (running.kind === 'yes' ? fault : warning)(
        'peer-port',
        seen,
        why,
        `isthmus up FILE   # at the peer; its gateway.listen: ${port}`,
        name,
      ),
    );
  } else if (endpoint.refused === false) {
    said.push(ok('peer-port', `${address} does not refuse UDP port ${port}`, name));
  }
  return said;
}

/** Handshakes and what they tell of the peer. */
export function checkPeers(context: Configured): Said[] {
  const { running, config } = context;
  if (running.kind !== 'yes') return [];
  const { status } = running;
  const said = config.peerings.flatMap((peering) => {
    const peer = status.peers.find(({ name }) => name === peering.name);
    return peer === undefined ? [] : checkPeer(peering, peer, context, status);
  });
  return [...said, ...checkStrangers(status), ...checkDrops(status)];
}

function checkPeer(peering: PeeringConfig, peer: PeerStatus, context: Configured, status: GatewayStatus): Said[] {
  const { name } = peering;
  const address = context.endpoints.get(name)?.address;
  const refused = latest(status.refused.filter((each) => isOf(each, name, address) && isOpen(each, peer)));
  const found = new Map(refused.flatMap((refusal) => explain(refusal, peering)).map((each) => [each.id, each]));
  const good = (['role', 'cipher', 'psk', 'peer-key'] as const)
    .filter((id) => !found.has(id) && peer.has_session)
    .map((id) => ok(id, 'the handshake succeeded', name));
  return [
    ...found.values(),
    ...good,
    ...checkClock(peer, found.has('peer-clock')),
    checkSession(peer, address, refused, status),
  ];
}

function isOf(refusal: RefusalStatus, name: string, address: string | undefined): boolean {
  return (
    refusal.peering === name || (refusal.peering === null && address !== undefined && hostOf(refusal.from) === address)
  );
}

/** Whether no handshake has succeeded since. */
function isOpen(
  { last_s: age }: RefusalStatus,
  { has_session: hasSession, last_handshake_s: handshake }: PeerStatus,
): boolean {
  if (age > RECENT_S) return false;
  return handshake === null || age + SETTLING_S < handshake || (!hasSession && age <= handshake);
}

/** What was refused for another reason before then was mended meanwhile. The latest come first. */
function latest(refused: readonly RefusalStatus[]): RefusalStatus[] {
  return refused.filter(({ last_s: age }) => age <= refused[0].last_s + RETRY_S);
}

/** What a refused message says is wrong with the peering. */
function explain({ reason, from, count }: RefusalStatus, { name, keys }: PeeringConfig): Said[] {
  const times = `${count} ${count === 1 ? 'call' : 'calls'} from ${from}`;
  switch (reason) {
    case 'same-role': {
      const role = keys.kind === 'psk' ? keys.role : '';
      const fix = `role: ${role === 'server' ? 'client' : 'server'}   # here or at the peer, not at both; then isthmus reload`;
      const why = 'The role says which of the two identities of the PSK is ours: both ends have taken the same one.';
      return [fault('role', `the peer has the same role as this gateway, ${role} (${times})`, why, fix, name)];
    }
    case 'other-cipher': {
      const cipher = keys.kind === 'psk' ? keys.cipher : '';
      const seen = `the peer calls under another cipher than ${cipher}, which the file fixes here (${times})`;
      const why = 'Nothing is negotiated: a gateway answers under the ciphers of its file only.';
      return [fault('cipher', seen, why, 'cipher: auto   # at both ends; then isthmus reload', name)];
    }
    case 'bad-mac1': {
      const seen = `what the peer sends is for none of this gateway's keys (${times})`;
      const why = 'The two ends have different PSKs, or public keys.';
      return [fault('psk', seen, why, SAME_PSK, name)];
    }
    case 'bad-handshake': {
      const seen = `the peer's handshakes do not open, although its public key is right (${times})`;
      const why = 'The two ends have different pre-shared keys.';
      return [fault('psk', seen, why, SAME_PSK, name)];
    }
    case 'unknown-peer': {
      const seen = `a caller that knows this gateway's public key has one that is not in the file (${times})`;
      const why = "The peer's private key does not belong to the public_key of the file.";
      return [fault('peer-key', seen, why, 'wg show INTERFACE public-key   # at the peer: public_key here', name)];
    }
    case 'replayed': {
      const seen = `the peer's calls bear times that are not later than one it has used before (${times})`;
      const why =
        "The peer's clock was set back while its gateway was down; a captured call sent again looks the same.";
      const fix = 'timedatectl set-ntp true   # at the peer; or restart this gateway, which forgets the times';
      return [fault('peer-clock', seen, why, fix, name)];
    }
    default:
      return [];
  }
}

const SAME_PSK = 'sha256sum FILE.psk   # at both ends; where they differ, carry one file over and isthmus reload';

function checkClock({ name, clock_skew_s: skew }: PeerStatus, wasSetBack: boolean): Said[] {
  if (wasSetBack || skew === null) return [];
  if (Math.abs(skew) <= SKEW_S) return [ok('peer-clock', `it is off by ${Math.abs(skew)} s at most`, name)];
  const seen = `the peer's clock is ${Math.abs(skew)} s ${skew > 0 ? 'ahead of' : 'behind'} this one`;
  const why = 'When it is set right, a gateway that restarts after it may be refused: its times must go forward.';
  return [warning('peer-clock', seen, why, 'timedatectl   # at both ends: which is wrong? set-ntp true there', name)];
}

function checkSession(
  peer: PeerStatus,
  address: string | undefined,
  refused: readonly RefusalStatus[],
  status: GatewayStatus,
): Said {
  const { name, unanswered, unconfirmed, has_session: hasSession, last_handshake_s: age } = peer;
  // A renewal tries each of the peering's keys in turn; without a session there is no time to lose.
  const few = hasSession ? 4 : 1;
  if (unconfirmed >= few) {
    const seen = `${unconfirmed} of the peer's calls came in and were answered, and it does not go on`;
    const why = "What this host sends does not get to the peer: dropped on the way there, or by the peer's firewall.";
    const fix = `tcpdump -ni any udp port ${status.port}   # here: do answers (92 bytes) leave? at the peer: do they come?`;
    return fault('session', seen, why, fix, name);
  }
  if (unanswered >= few && refused.length > 0) {
    const seen = `${unanswered} calls of this gateway went unanswered, although datagrams come from the peer`;
    return fault('session', seen, 'The two ends do not understand each other.', 'isthmus doctor   # at the peer', name);
  }
  if (unanswered >= few) {
    const seen = `${unanswered} calls of this gateway went unanswered, and nothing came from ${address ?? 'the peer'}`;
    const why =
      'No gateway runs there, UDP is blocked on the way there or back, or that gateway does not know this one: ' +
      'to strangers it is silent. The peer can tell which.';
    return fault('session', seen, why, 'isthmus doctor   # at the peer: it says whether these calls come in', name);
  }
  if (age === null && refused.length > 0) {
    const seen = 'the peer calls, and none of its calls could be answered';
    return fault('session', seen, 'The two ends do not understand each other.', 'isthmus doctor   # at the peer', name);
  }
  if (age === null && peer.endpoint === null) {
    const seen = `the peer is to call, and nothing has come from it in ${status.uptime_s} s`;
    const why = 'It does not run, calls another address or port, or UDP is blocked on the way.';
    const fix = `isthmus doctor   # at the peer; its endpoint must be this host, UDP port ${status.port}`;
    return (status.uptime_s < SETTLED_S ? warning : fault)('session', seen, why, fix, name);
  }
  if (age === null) {
    const seen = 'no handshake has been tried yet';
    return warning('session', seen, 'It is, with the first packet.', `isthmus status ${status.interface}`, name);
  }
  return ok('session', hasSession ? `last handshake ${age} s ago` : `idle; last handshake ${age} s ago`, name);
}

/** Calls that fit nobody, while somebody is missing: they may be his. */
function checkStrangers({ refused, peers }: GatewayStatus): Said[] {
  const missing = peers.filter(({ endpoint, last_handshake_s: age }) => endpoint === null && age === null);
  const strange = refused.filter(({ peering, last_s: age }) => peering === null && age <= RECENT_S);
  if (missing.length === 0) return [];
  const name = missing.length === 1 ? missing[0].name : undefined;
  return strange
    .filter(({ reason }) => reason === 'bad-mac1')
    .slice(0, 1)
    .map(({ from, count }) => {
      const seen = `${count} ${count === 1 ? 'call' : 'calls'} from ${from} fit no peering of this file`;
      const who = name === undefined ? 'a peer' : 'the peer';
      const why = `If ${hostOf(from)} is ${who}, the two ends have different PSKs; else it is a stranger.`;
      return fault('psk', seen, why, SAME_PSK, name);
    });
}

/** Drops that say that the two files disagree. */
function checkDrops({ peers, all_drops: drops }: GatewayStatus): Said[] {
  const said = peers.flatMap(({ name, drops: { 'source-not-allowed': count = 0 } }): Said[] => {
    if (count === 0) return [ok('peer-subnets', 'all that came had a source of the peer', name)];
    const seen = `${count} packets came with a source that the file does not give to the peer`;
    const why = 'They are dropped: the subnets of the peering differ between the two files, or a host there is astray.';
    return [warning('peer-subnets', seen, why, 'isthmus trace --live   # shows the sources', name)];
  });
  const { 'source-not-local': foreign = 0 } = drops;
  if (foreign < NOISE) return [...said, ok('local-source', 'all that was sent had a local source')];
  const seen = `${foreign} packets of this side had a source outside the local subnets`;
  const why = 'They are dropped: gateway.subnets lacks a network, or something routes foreign packets here.';
  return [...said, warning('local-source', seen, why, 'isthmus trace --live   # shows the sources')];
}

/** What is known of the peer's program: only Isthmus has AES-256-GCM. */
export function checkPeerKinds({ running }: Configured): Said[] {
  if (running.kind !== 'yes') return [];
  return running.status.peers.flatMap(({ name, cipher }) => {
    if (cipher === null) return [];
    return [ok('peer-kind', cipher === 'aes-256-gcm' ? `Isthmus, ${cipher}` : `any WireGuard, ${cipher}`, name)];
  });
}

function hostOf(endpoint: string): string {
  return endpoint.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1');
}
