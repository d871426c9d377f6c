// The topology of two-vpcs.ts with a second cable between the gateways, 203.0.113.0/24, and a peering over each.
import { isthmusFiles, newPsk, startGateways, type GatewayFile, type Tunnel } from './contenders.ts';
import type { Lab } from './lab.ts';
import { GATEWAY_B, twoVpcs } from './two-vpcs.ts';

/** The interfaces, at both gateways, of the paths `fibre` and `radio`. */
export const PATHS = { fibre: 'wan', radio: 'wan2' } as const;
const OTHER_A = '203.0.113.1';
const OTHER_B = '203.0.113.2';

export async function twoPaths(): Promise<Lab> {
  const lab = await twoVpcs();
  const [a, b] = [OTHER_A, OTHER_B].map((address) => ({ name: PATHS.radio, addresses: [`${address}/24`] }));
  await lab.link({ host: 'gwa', ...a }, { host: 'gwb', ...b });
  return lab;
}

/** Isthmus on both gateways, with a bundle of both paths; `bundle` is its description in the file. */
export async function startBundle(lab: Lab, bundle: Record<string, unknown>): Promise<Tunnel> {
  const files = isthmusFiles(lab, newPsk());
  const psk = newPsk();
  for (const [index, file] of files.entries()) addPath(file, index === 0 ? 'a' : 'b', psk, bundle);
  return startGateways(lab, files, 'isthmus with two paths');
}

function addPath(file: GatewayFile, own: 'a' | 'b', psk: string, bundle: Record<string, unknown>): void {
  const [fibre] = file.peerings;
  const [mine, theirs] = own === 'a' ? ['10.8.0.5/30', '10.8.0.6'] : ['10.8.0.6/30', '10.8.0.5'];
  file.gateway['address'] = [...(file.gateway['address'] as string[]), mine];
  const radio = { ...fibre, name: 'radio', psk, address: theirs, bundle: 'both' };
  if (own === 'a') Object.assign(radio, { endpoint: `${OTHER_B}:51820` });
  Object.assign(fibre, { name: 'fibre', address: own === 'a' ? '10.8.0.2' : '10.8.0.1', bundle: 'both' });
  if (own === 'a') Object.assign(fibre, { endpoint: `${GATEWAY_B[4]}:51820` });
  file.peerings.push(radio);
  Object.assign(file, { bundles: { both: bundle } });
}
