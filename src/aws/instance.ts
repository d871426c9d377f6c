/** What EC2 knows of the instance that this runs on, by its metadata and, where there is one, by AWS's command line. */
import type { InstanceIdentity } from './metadata.ts';

export interface VpcRoute {
  readonly table: string;
  readonly destination: string;
  /** The network interface that it leads to, if it leads to one. */
  readonly interfaceId: string | undefined;
}

/** What a security group lets in. */
export interface Permission {
  /** `udp`, `-1` for all. */
  readonly protocol: string;
  /** -1 for all. */
  readonly from: number;
  readonly to: number;
}

/** What only the EC2 API says. */
export interface Ec2Details {
  readonly sourceDestCheck: boolean;
  /** Of all route tables of the VPC. */
  readonly routes: readonly VpcRoute[];
  readonly tables: readonly string[];
  readonly permissions: readonly Permission[];
}

export interface Ec2State {
  readonly identity: InstanceIdentity;
  /** Or why it can't be known. */
  readonly details: Ec2Details | string;
}

/** Runs `aws` with these words. */
export type Aws = (...words: string[]) => Promise<{ found: boolean; code: number; stdout: string; stderr: string }>;

interface Described {
  readonly NetworkInterfaces?: readonly { readonly SourceDestCheck: boolean }[];
  readonly RouteTables?: readonly { readonly RouteTableId: string; readonly Routes: readonly DescribedRoute[] }[];
  readonly SecurityGroups?: readonly {
    readonly IpPermissions: readonly { IpProtocol: string; FromPort?: number; ToPort?: number }[];
  }[];
}

interface DescribedRoute {
  readonly DestinationCidrBlock?: string;
  readonly DestinationIpv6CidrBlock?: string;
  readonly NetworkInterfaceId?: string;
}

/** Asks the EC2 API what the metadata doesn't say. Reads only. */
export async function describeInstance(identity: InstanceIdentity, aws: Aws): Promise<Ec2State> {
  const { interfaceId, vpcId, region, securityGroupIds } = identity;
  const describe = async (...words: string[]): Promise<Described> => {
    const { found, code, stdout, stderr } = await aws('ec2', ...words, '--region', region, '--output', 'json');
    if (!found) throw new Error('the command aws is not installed');
    if (code !== 0) throw new Error(stderr.trim().split('\n')[0] || `aws ${words[0]} ended with ${code}`);
    return JSON.parse(stdout) as Described;
  };
  try {
    const [network, tables, groups] = await Promise.all([
      describe('describe-network-interfaces', '--network-interface-ids', interfaceId),
      describe('describe-route-tables', '--filters', `Name=vpc-id,Values=${vpcId}`),
      describe('describe-security-groups', '--group-ids', ...securityGroupIds),
    ]);
    return { identity, details: detailsOf({ ...network, ...tables, ...groups }) };
  } catch (error) {
    return { identity, details: (error as Error).message };
  }
}

function detailsOf({ NetworkInterfaces = [], RouteTables = [], SecurityGroups = [] }: Described): Ec2Details {
  return {
    sourceDestCheck: NetworkInterfaces.some(({ SourceDestCheck }) => SourceDestCheck),
    tables: RouteTables.map(({ RouteTableId }) => RouteTableId),
    routes: RouteTables.flatMap(({ RouteTableId, Routes }) =>
      Routes.map(({ DestinationCidrBlock, DestinationIpv6CidrBlock, NetworkInterfaceId }) => ({
        table: RouteTableId,
        destination: DestinationCidrBlock ?? DestinationIpv6CidrBlock ?? '',
        interfaceId: NetworkInterfaceId,
      })),
    ),
    permissions: SecurityGroups.flatMap(({ IpPermissions }) =>
      IpPermissions.map(({ IpProtocol: protocol, FromPort: from = -1, ToPort: to = -1 }) => ({ protocol, from, to })),
    ),
  };
}
