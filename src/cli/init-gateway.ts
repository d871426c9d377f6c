/** `isthmus init --name`: the configuration of one gateway, whose peerings are requested and accepted while it runs. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import nacl from 'tweetnacl';
import { cidr, interfaceName, name, networkAddress } from '../control/config-text.ts';
import type { RemoteHost } from '../gateway/config.ts';
import { IsthmusError } from '../gateway/errors.ts';
import { formatPrefix, formatRemote } from '../gateway/text.ts';
import { DEFAULT_PORT, calledAt, partsOf, readOption } from './arguments.ts';
import { flowList, quoted } from './init-files.ts';
import { writePrivateFiles } from './output.ts';

export interface GatewayOptions {
  readonly name?: string;
  readonly subnets?: string;
  readonly endpoint?: string;
  readonly overlay?: string;
  readonly interface?: string;
  readonly dir: string;
  readonly force?: true;
}

/** Writes the file. Throws `ISTHMUS_USAGE`, `ISTHMUS_FILE_EXISTS`, `ISTHMUS_FILE_WRITE`. */
export function writeGateway(options: GatewayOptions): void {
  const title = needed('--name', options.name, name);
  const subnets = needed('--subnets', options.subnets, (text) => partsOf(text).map((each) => formatPrefix(cidr(each))));
  if (subnets.length === 0) throw new IsthmusError('ISTHMUS_USAGE', '--subnets: wanted at least one CIDR');
  const called = options.endpoint === undefined ? undefined : readOption('--endpoint', options.endpoint, calledAt);
  const addresses =
    options.overlay === undefined
      ? [ownAddress()]
      : readOption('--overlay', options.overlay, (text) =>
          partsOf(text).map((each) => formatPrefix(networkAddress(each))),
        );
  const device = readOption('--interface', options.interface ?? 'ist0', interfaceName);
  const path = join(options.dir, `${title}.yaml`);
  if (existsSync(path) && !options.force) {
    throw new IsthmusError('ISTHMUS_FILE_EXISTS', `${path} is already there; nothing was written (--force replaces)`);
  }
  const text = fileText(title, device, addresses, subnets, called);
  writePrivateFiles(new Map([[path, text]]), options.force === true);
  process.stdout.write(nextSteps(title, path, called));
}

function needed<T>(flag: string, text: string | undefined, read: (text: string) => T): T {
  if (text === undefined) throw new IsthmusError('ISTHMUS_USAGE', `one gateway alone wants ${flag} too`);
  return readOption(flag, text, read);
}

/** One of the four million addresses of RFC 6598, which is nobody's network: two gateways hardly draw the same. */
function ownAddress(): string {
  const [a, b, c] = nacl.randomBytes(3);
  return `100.${64 + (a & 63)}.${b}.${1 + (c % 254)}/32`;
}

function fileText(
  title: string,
  device: string,
  addresses: readonly string[],
  subnets: readonly string[],
  called: RemoteHost | undefined,
): string {
  const where =
    called === undefined
      ? '# endpoint: vpn.example.com:51820   # where others call this gateway; wanted to request peerings, not to accept\n'
      : `endpoint: ${quoted(formatRemote(called))}   # where others call this gateway\n`;
  return `# ${title}: a gateway whose peerings are requested and accepted while it runs (isthmus peering). Every key: docs/configuration.md
gateway:
  name: ${quoted(title)}
  interface: ${quoted(device)}
  address: ${flowList(addresses)}
  listen: ${called?.port ?? DEFAULT_PORT}
  ${where}  subnets: ${flowList(subnets)}
peerings: []                    # others can stand here too
acls:
  # The first rule that matches decides; what none matches is denied. Replies to what was allowed pass by themselves.
  # "in" is what the other side starts, "out" what hosts here start. A peering takes one of these lists by --acl.
  peers:
    - {name: ping, action: allow, protocol: icmp}
    - {name: started-here, action: allow, direction: out}
    # Let the other side reach a service here:
    # - {name: web, action: allow, direction: in, protocol: tcp, destination: ${quoted(subnets[0])}, ports: [80, 443]}
`;
}

function nextSteps(title: string, path: string, called: RemoteHost | undefined): string {
  const request =
    called === undefined
      ? ''
      : `
To ask another gateway for a peering (let UDP port ${called.port} in from it):
  sudo isthmus peering request NAME --acl peers > invitation     (hand it over as a secret)
`;
  return `wrote ${path} (mode 0600)

Next, on ${title}:
  sudo isthmus up ${path}
${request}
To take up a request of another gateway:
  sudo isthmus peering inspect < invitation
  sudo isthmus peering accept --acl peers < invitation
`;
}
