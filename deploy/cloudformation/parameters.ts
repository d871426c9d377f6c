import { CfnParameter, Fn } from 'aws-cdk-lib/core';
import type { CfnParameterProps, Stack } from 'aws-cdk-lib/core';

/** The two ends of a peering, each with a template of its own. */
export type Side = 'server' | 'client';

/** How many networks and route tables a template takes: CloudFormation has no loops, so each has its place in it. */
export const LOCAL_SUBNETS_MAX = 5;
export const PEER_SUBNETS_MAX = 10;
export const ROUTE_TABLES_MAX = 10;

/** Instance types with the architecture of their CPU. t2.micro and c4.large are the reference deployment's. */
export const INSTANCE_TYPES: Readonly<Record<string, 'x86' | 'arm'>> = {
  't2.micro': 'x86',
  't3.micro': 'x86',
  't3.small': 'x86',
  'c4.large': 'x86',
  'c5.large': 'x86',
  'c6i.large': 'x86',
  'c6i.xlarge': 'x86',
  'c6in.large': 'x86',
  'c7i.large': 'x86',
  'c7i.xlarge': 'x86',
  'c7a.large': 'x86',
  't4g.small': 'arm',
  'c6g.large': 'arm',
  'c7g.large': 'arm',
  'c7gn.large': 'arm',
  'c8g.large': 'arm',
};

const IMAGES = '/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default';
const OCTET = '(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])';
const ADDRESS = `${OCTET}(\\.${OCTET}){3}`;
const CIDR = `${ADDRESS}/([0-9]|[12][0-9]|3[0-2])`;
const ROUTE_TABLE = 'rtb-([0-9a-f]{8}|[0-9a-f]{17})';

const list = (item: string, max: number): string => `${item}(,${item}){0,${max - 1}}`;
const whole = (pattern: string): string => `^${pattern}$`;
const orNothing = (pattern: string): string => `^(${pattern})?$`;

/** Headings of the console's form, with the parameters below each. */
const GROUPS: readonly (readonly [string, readonly string[]])[] = [
  ['The other side', ['VPNServerIP', 'PSK', 'PSKSecretArn', 'PeerVPNSubnets', 'ClientLocation', 'ListenPort']],
  ['This VPC', ['VpcId', 'SubnetId', 'LocalSubnets', 'RouteTableIds', 'Acl']],
  ['The instance', ['InstanceType', 'ImageX86', 'ImageArm', 'KeyName', 'SSHLocation', 'SessionManager']],
  ['The package', ['PackageBucket', 'PackageKey', 'PackageSha256']],
];

const COMMON: Readonly<Record<string, CfnParameterProps>> = {
  InstanceType: {
    type: 'String',
    default: 'c6i.large',
    allowedValues: Object.keys(INSTANCE_TYPES),
    description: 'c4.large is what the reference was measured on; t types are for trying it out; g types are Arm',
  },
  KeyName: {
    type: 'String',
    default: '',
    description: 'EC2 key pair for SSH; of use only with SSHLocation. Left empty, there is none',
  },
  VpcId: { type: 'AWS::EC2::VPC::Id', description: 'VPC that this gateway joins to the other' },
  SubnetId: {
    type: 'AWS::EC2::Subnet::Id',
    description: 'Public subnet of that VPC for the gateway: its route table has an internet gateway',
  },
  SSHLocation: {
    type: 'String',
    default: '',
    allowedPattern: orNothing(CIDR),
    constraintDescription: 'one IPv4 network such as 203.0.113.0/24, or nothing',
    description: 'Network from which SSH is let in. Left empty, no SSH server runs and port 22 is closed',
  },
  PeerVPNSubnets: {
    type: 'String',
    allowedPattern: whole(list(CIDR, PEER_SUBNETS_MAX)),
    constraintDescription: `1 to ${PEER_SUBNETS_MAX} IPv4 networks with commas and no spaces between them`,
    description: `Networks of the other VPC, at most ${PEER_SUBNETS_MAX}: 192.168.0.0/16,10.1.0.0/16`,
  },
  LocalSubnets: {
    type: 'String',
    allowedPattern: whole(list(CIDR, LOCAL_SUBNETS_MAX)),
    constraintDescription: `1 to ${LOCAL_SUBNETS_MAX} IPv4 networks with commas and no spaces between them`,
    description: `Networks of this VPC, at most ${LOCAL_SUBNETS_MAX}: the other side's PeerVPNSubnets`,
  },
  RouteTableIds: {
    type: 'String',
    default: '',
    allowedPattern: orNothing(list(ROUTE_TABLE, ROUTE_TABLES_MAX)),
    constraintDescription: `up to ${ROUTE_TABLES_MAX} ids such as rtb-0123456789abcdef0, with commas and no spaces`,
    description: 'Route tables of this VPC that get routes to PeerVPNSubnets. Left empty, you add the routes',
  },
  ListenPort: {
    type: 'Number',
    default: 51820,
    minValue: 1024,
    maxValue: 65535,
    description: 'UDP port of the gateway that is called: the same on both sides',
  },
  Acl: {
    type: 'String',
    default: '[{ action: allow, protocol: all }]',
    allowedPattern: '^\\[[^\\n]*\\]$',
    constraintDescription: 'a list in one line: [{ action: allow, protocol: tcp, ports: 443 }]',
    description: 'Access list between the VPCs, in one line of YAML; see docs/configuration.md, acls',
  },
  SessionManager: {
    type: 'String',
    default: 'no',
    allowedValues: ['no', 'yes'],
    description: 'Whether the role allows a shell by Systems Manager Session Manager, which needs no open port',
  },
  PackageBucket: {
    type: 'String',
    allowedPattern: '^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$',
    constraintDescription: 'the name of an S3 bucket',
    description: 'S3 bucket that holds the npm tarball of Isthmus',
  },
  PackageKey: {
    type: 'String',
    allowedPattern: "^[A-Za-z0-9!_.'()/-]+$",
    constraintDescription: 'the key of an object, without a leading slash, wildcards or spaces',
    description: 'Key of that tarball: isthmus-0.1.0.tgz, made for the architecture of the instance',
  },
  PackageSha256: {
    type: 'String',
    allowedPattern: '^[0-9a-f]{64}$',
    constraintDescription: '64 lower-case hex digits',
    description: 'SHA-256 of that tarball; the instance runs nothing else',
  },
  ImageX86: {
    type: 'AWS::SSM::Parameter::Value<AWS::EC2::Image::Id>',
    default: `${IMAGES}-x86_64`,
    description: 'SSM parameter with the image of a new instance; Amazon Linux 2023',
  },
  ImageArm: {
    type: 'AWS::SSM::Parameter::Value<AWS::EC2::Image::Id>',
    default: `${IMAGES}-arm64`,
    description: 'The same for Arm instances',
  },
};

const OF_SIDE: Readonly<Record<Side, Readonly<Record<string, CfnParameterProps>>>> = {
  server: {
    ClientLocation: {
      type: 'String',
      default: '0.0.0.0/0',
      allowedPattern: whole(CIDR),
      constraintDescription: 'one IPv4 network such as 203.0.113.7/32',
      description: "Network from which the UDP port is reached; the client's VPNClientIP/32, once it is known",
    },
  },
  client: {
    VPNServerIP: {
      type: 'String',
      allowedPattern: whole(ADDRESS),
      constraintDescription: 'one IPv4 address',
      description: 'Public address of the server: VPNServerIP among the outputs of its stack',
    },
    PSK: {
      type: 'String',
      default: '',
      noEcho: true,
      allowedPattern: orNothing('[0-9A-Fa-f]{64,}|[A-Za-z0-9+/]{43,}={0,2}'),
      constraintDescription: 'at least 256 bits as hex or base64, as isthmus genpsk prints',
      description: "The peering's PSK, if it is in no secret that this account can read; kept in a new secret",
    },
    PSKSecretArn: {
      type: 'String',
      default: '',
      allowedPattern: orNothing('arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[A-Za-z0-9/_+=.@-]+'),
      constraintDescription: 'the ARN of a secret of Secrets Manager',
      description: "ARN of the secret with the peering's PSK: PSK among the outputs of the server's stack",
    },
  },
};

/** Declares a side's parameters in its stack, with the order and headings of the console's form. */
export function declareParameters(stack: Stack, side: Side): void {
  const declared = { ...COMMON, ...OF_SIDE[side] };
  const groups = GROUPS.map(([label, names]) => ({
    Label: { default: label },
    Parameters: names.filter((name) => name in declared),
  }));
  stack.templateOptions.metadata = { 'AWS::CloudFormation::Interface': { ParameterGroups: groups } };
  for (const { Parameters } of groups) for (const name of Parameters) new CfnParameter(stack, name, declared[name]);
}

/** What a parameter is given. */
export function given(name: string): string {
  return Fn.ref(name);
}

/**
 * The entry at a place, from 0, of a parameter that is a comma-separated list, or nothing when it has fewer. The commas
 * behind the list keep Fn::Select within bounds, which it must be even where a condition leaves its resource out.
 */
export function entry(name: string, place: number, max: number): string {
  return Fn.select(place, Fn.split(',', Fn.join('', [given(name), ','.repeat(max)])));
}
