import type { CipherChoice, RemoteHost, Role } from '../gateway/config.ts';
import { IsthmusError } from '../gateway/errors.ts';
import { formatPrefix, formatRemote } from '../gateway/text.ts';
import type { Prefix } from '../routing/prefix.ts';
import { DEFAULT_PORT } from './arguments.ts';

export interface InitSide {
  readonly name: string;
  /** CIDRs. */
  readonly subnets: readonly string[];
}

export interface InitAnswers {
  readonly server: InitSide;
  readonly client: InitSide;
  readonly serverEndpoint: RemoteHost;
  /** One point-to-point network a family. */
  readonly overlay: readonly OverlayPair[];
  readonly cipher: CipherChoice;
  /** Name of the file with the PSK, beside the configuration files. */
  readonly pskFile: string;
}

/** Address with length, as in a configuration. */
export type OverlayPair = Readonly<Record<Role, string>>;

/** The two hosts of a point-to-point network. Throws `ISTHMUS_USAGE` for a network of another size. */
export function overlayPair(network: Prefix): OverlayPair {
  const width = network.family === 4 ? 32 : 128;
  const hostBits = width - network.bits;
  if (hostBits !== 1 && hostBits !== 2) {
    throw new IsthmusError(
      'ISTHMUS_USAGE',
      `${formatPrefix(network)} is no point-to-point network; wanted a /${width - 2} or /${width - 1}`,
    );
  }
  const host = (number: number): string => {
    const [w0, w1, w2, w3] = network.address;
    return formatPrefix({ ...network, address: [w0, w1, w2, w3 | number] });
  };
  return hostBits === 2 ? { server: host(1), client: host(2) } : { server: host(0), client: host(1) };
}

/** The configuration file of one side, with comments for who reads it later. */
export function configurationText(answers: InitAnswers, role: Role): string {
  const ours = answers[role];
  const theirs = answers[role === 'server' ? 'client' : 'server'];
  const { serverEndpoint } = answers;
  const calls =
    role === 'client'
      ? `    endpoint: ${quoted(formatRemote(serverEndpoint))}
    keepalive: 25s                # keeps a NAT on the way open, so that ${theirs.name} can reach us at any time
`
      : '';
  return `# ${ours.name}: one side of the peering ${answers.server.name} - ${answers.client.name}. Every key: docs/configuration.md
gateway:
  name: ${quoted(ours.name)}
  interface: ist0
  address: ${flowList(answers.overlay.map((pair) => pair[role]))}
  listen: ${role === 'server' ? serverEndpoint.port : DEFAULT_PORT}
  subnets: ${flowList(ours.subnets)}
peerings:
  - name: ${quoted(theirs.name)}
    role: ${role}
    psk: {file: ${quoted(answers.pskFile)}}
    cipher: ${answers.cipher}
${calls}    subnets: ${flowList(theirs.subnets)}
    acl: peers
acls:
  # The first rule that matches decides; what none matches is denied. Replies to what was allowed pass by themselves.
  # "in" is what hosts behind ${theirs.name} start, "out" what hosts here start.
  peers:
    - {name: ping, action: allow, protocol: icmp}
    - {name: started-here, action: allow, direction: out}
    # Let the other side reach a service here:
    # - {name: web, action: allow, direction: in, protocol: tcp, destination: ${quoted(ours.subnets[0])}, ports: [80, 443]}
`;
}

export function flowList(texts: readonly string[]): string {
  return `[${texts.map(quoted).join(', ')}]`;
}

/** Text that YAML could take for something else goes in quotes: a name of digits, IPv6 in a flow list. */
export function quoted(text: string): string {
  const ipv4 = /^\d+(\.\d+){3}[/:]\d+$/.test(text);
  const word = /^[a-z][a-z0-9.-]*$/i.test(text) && !/^(true|false|null)$/i.test(text);
  return ipv4 || word ? text : JSON.stringify(text);
}
