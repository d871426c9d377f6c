// A gateway's file changed again and again, in everything but what leads to the other private hosts.
import { callApi } from '../../src/control/api.ts';
import type { GatewayFile } from './contenders.ts';

type Answer = Awaited<ReturnType<typeof callApi>>;

/**
 * The file for reload `number`: `steady` with another peering that comes and goes, and with other rules, prefix lists,
 * routes, log level, and a rate that does not bite. `psk` is the other peering's.
 */
export function changedFile(steady: GatewayFile, number: number, psk: string): GatewayFile {
  const file = structuredClone(steady);
  const [peering] = file.peerings;
  const subnets = [`10.99.${number % 200}.0/24`, `fd00:99:${number % 200}::/48`];
  if (number % 2 === 0) file.peerings.unshift({ name: 'other', role: 'client', psk, address: '10.9.0.1', subnets });
  if (number % 3 === 0) file.acls = { first: [{ action: 'deny' }], ...file.acls };
  if (number % 4 === 0) peering['shape'] = { out: `${20 + (number % 30)}gbit`, in: '50gbit' };
  if (number % 7 === 0) file.gateway['log_level'] = 'warn';
  file.prefix_lists = { quarantine: [`10.66.${number % 250}.0/24`] };
  const quarantine = { prefix_list: 'quarantine' };
  file.route_tables = { local: { routes: [{ destination: quarantine, via: 'blackhole' }] } };
  const used = String(peering['acl']);
  file.acls[used] = [{ name: `no-${number % 9}`, action: 'deny', source: quarantine }, ...file.acls[used]];
  return file;
}

/** Has the gateway whose control socket this is read its file again. Throws with its words if it refuses. */
export async function reload(socket: string): Promise<Answer> {
  const answer = await callApi(socket, 'POST', '/v1/reload');
  if (answer.status !== 200) throw new Error(JSON.stringify(answer.body));
  return answer;
}
