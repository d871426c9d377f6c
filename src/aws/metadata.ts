/** Instance metadata, version 2: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html */
import { request } from 'node:http';

const HOST = '169.254.169.254';
/** Off EC2 nobody answers there, in ms. */
const PATIENCE = 1000;
const TOKEN_LIFE = '60';

/** What the instance says of itself and of its first network interface. */
export interface InstanceIdentity {
  readonly instanceId: string;
  readonly region: string;
  readonly interfaceId: string;
  readonly vpcId: string;
  /** Of the VPC, IPv4 and IPv6. */
  readonly vpcCidrs: readonly string[];
  readonly securityGroupIds: readonly string[];
}

/** Undefined where there is no instance metadata: off EC2, or switched off. */
export async function readIdentity(): Promise<InstanceIdentity | undefined> {
  const token = await ask('PUT', '/latest/api/token', { 'X-aws-ec2-metadata-token-ttl-seconds': TOKEN_LIFE });
  if (token === undefined) return undefined;
  const get = async (path: string): Promise<string> =>
    (await ask('GET', `/latest/meta-data/${path}`, { 'X-aws-ec2-metadata-token': token })) ?? '';
  const instanceId = await get('instance-id');
  // Whoever else may listen at that address answers something else.
  if (!/^i-[0-9a-f]+$/.test(instanceId)) return undefined;
  const interfaceAt = `network/interfaces/macs/${await get('mac')}`;
  const [region, interfaceId, vpcId, cidrs4, cidrs6, groups] = await Promise.all([
    get('placement/region'),
    get(`${interfaceAt}/interface-id`),
    get(`${interfaceAt}/vpc-id`),
    get(`${interfaceAt}/vpc-ipv4-cidr-blocks`),
    get(`${interfaceAt}/vpc-ipv6-cidr-blocks`),
    get(`${interfaceAt}/security-group-ids`),
  ]);
  const lines = (text: string): string[] => text.split('\n').filter((line) => line !== '');
  const vpcCidrs = [...lines(cidrs4), ...lines(cidrs6)];
  return { instanceId, region, interfaceId, vpcId, vpcCidrs, securityGroupIds: lines(groups) };
}

/** The text of an answer 200; undefined for any other, and for none. */
function ask(method: 'GET' | 'PUT', path: string, headers: Record<string, string>): Promise<string | undefined> {
  return new Promise((resolve) => {
    const asked = request({ host: HOST, method, path, headers, timeout: PATIENCE }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => (text += chunk));
      response.on('end', () => resolve(response.statusCode === 200 ? text.trim() : undefined));
      response.on('error', () => resolve(undefined));
    });
    asked.on('error', () => resolve(undefined));
    asked.on('timeout', () => asked.destroy());
    asked.end();
  });
}
