/** Reads all that the checks look at. Changes nothing, here or at the peer. */
import { describeInstance } from '../aws/instance.ts';
import { readIdentity } from '../aws/metadata.ts';
import type { GatewayConfig, RemoteHost } from '../gateway/config.ts';
import { UNDERLAY_OVERHEAD } from '../gateway/network.ts';
import type { PeerStatus } from '../gateway/status.ts';
import { readRemote } from '../gateway/text.ts';
import { addressesToAsk } from './addresses.ts';
import { look } from './command.ts';
import type { Context, EndpointState, Running } from './context.ts';
import { probe, resolve } from './read-endpoint.ts';
import { readHost } from './read-host.ts';
import { readFirewall, readNetwork } from './read-network.ts';

/** So many peers are asked; the state of the others is as the gateway has it. */
const MOST_PROBED = 16;

/** `given`: what was read before. */
export async function gather(given: Pick<Context, 'file' | 'config' | 'configFaults' | 'running'>): Promise<Context> {
  const { file, config, running } = given;
  const isOurs = running.kind === 'yes' || running.kind === 'stuck' || running.kind === 'forbidden';
  const ec2 = readEc2();
  const host = await readHost(config, [file], isOurs);
  const known = config === undefined ? new Map<string, EndpointState>() : await locate(config, running);
  const asked = [...known.values()].flatMap(({ address }) => address ?? []);
  const [network, firewall] = await Promise.all([
    readNetwork([...(config === undefined ? [] : addressesToAsk(config)), ...asked]),
    readFirewall(),
  ]);
  const mtuOf = (address = ''): number => {
    const overhead = UNDERLAY_OVERHEAD[address.includes(':') ? 6 : 4];
    const mtu = running.kind === 'yes' ? running.status.mtu : config?.mtu;
    return typeof mtu === 'number' ? mtu + overhead : (network.ways.get(address)?.mtu ?? 0);
  };
  const probed = await Promise.all(
    [...known].map(async ([name, endpoint], index): Promise<[string, EndpointState]> => {
      const way = network.ways.get(endpoint.address ?? '');
      if (index >= MOST_PROBED || way?.device === undefined || way.local || way.device === config?.interface) {
        return [name, endpoint];
      }
      // Where a caller was seen may be a NAT, which lets in what it calls and refuses all else.
      const isCalled = config?.peerings.some((each) => each.name === name && each.endpoint !== undefined) === true;
      return [
        name,
        await probe(endpoint, isCalled && statusOf(running, name)?.has_session !== true, mtuOf(endpoint.address)),
      ];
    }),
  );
  return { ...given, host, network, firewall, endpoints: new Map(probed), ec2: await ec2 };
}

async function readEc2(): Promise<Context['ec2']> {
  const identity = await readIdentity();
  return identity && describeInstance(identity, (...words) => look('aws', ...words));
}

/** The peers' endpoints: of the file, or where they were last seen. */
async function locate(config: GatewayConfig, running: Running): Promise<Map<string, EndpointState>> {
  const found = await Promise.all(
    config.peerings.map(async ({ name, endpoint }): Promise<[string, EndpointState][]> => {
      const known = endpoint ?? lastSeen(running, name);
      return known === undefined ? [] : [[name, await resolve(known)]];
    }),
  );
  return new Map(found.flat());
}

function lastSeen(running: Running, name: string): RemoteHost | undefined {
  return readRemote(statusOf(running, name)?.endpoint ?? '');
}

function statusOf(running: Running, name: string): PeerStatus | undefined {
  return running.kind === 'yes' ? running.status.peers.find((each) => each.name === name) : undefined;
}
