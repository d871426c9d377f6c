/**
 * The stack of one side of a peering: a gateway on an EC2 instance, its address, what it may do, and the routes to it.
 * Pseudo parameters stand for partition, region and DNS suffix, so one template serves every region, China's included.
 */
import { CfnAlarm } from 'aws-cdk-lib/aws-cloudwatch';
import {
  CfnEIP,
  CfnEIPAssociation,
  CfnInstance,
  CfnLaunchTemplate,
  CfnNetworkInterface,
  CfnPrefixList,
  CfnRoute,
  CfnSecurityGroup,
} from 'aws-cdk-lib/aws-ec2';
import { CfnInstanceProfile, CfnRole } from 'aws-cdk-lib/aws-iam';
import { CfnSecret } from 'aws-cdk-lib/aws-secretsmanager';
import { Aws, CfnCondition, CfnMapping, CfnOutput, CfnRule, Fn, Stack, Token, Validations } from 'aws-cdk-lib/core';
import type {
  App,
  ICfnConditionExpression,
  ICfnRuleConditionExpression,
  IResolvable,
  StackProps,
} from 'aws-cdk-lib/core';
import { INSTANCE, initMetadata, userData } from './instance.ts';
import type { Side } from './parameters.ts';
import {
  INSTANCE_TYPES,
  LOCAL_SUBNETS_MAX,
  PEER_SUBNETS_MAX,
  ROUTE_TABLES_MAX,
  declareParameters,
  entry,
  given,
} from './parameters.ts';

/** How long the instance may take to install, start and report. */
const BOOT = 'PT15M';
/** Letters and digits of a generated PSK. As base64 they are 48 bytes, and hold 381 random bits. */
const PSK_LENGTH = 64;

/** Adds to an app the stack that is the template of a side. */
export class GatewayStack extends Stack {
  constructor(app: App, side: Side, properties: StackProps) {
    const description = `Isthmus: the ${side} gateway of a peering between two VPCs`;
    super(app, side, { ...properties, description });
    declareParameters(this, side);
    const pskSecretArn = side === 'server' ? this.generatedPsk() : this.givenPsk();
    const networkInterface = this.networkInterface(side);
    const address = new CfnEIP(this, 'Address', { domain: 'vpc', tags: this.nameTag(side) });
    const association = new CfnEIPAssociation(this, 'AddressAssociation', {
      allocationId: address.attrAllocationId,
      networkInterfaceId: networkInterface.ref,
    });
    const instance = this.instance(side, networkInterface, pskSecretArn);
    // It needs its way out from the first second on.
    instance.addResourceDependency(association);
    this.recovery(instance);
    this.routes(networkInterface);
    this.outputs(side, { instance, networkInterface, address, pskSecretArn });
  }

  /** The server's PSK is made here, and nobody gets to see it. */
  private generatedPsk(): string {
    const secret = new CfnSecret(this, 'PSKSecret', {
      description: `PSK of the Isthmus peering of the stack ${Aws.STACK_NAME}`,
      generateSecretString: { passwordLength: PSK_LENGTH, excludePunctuation: true, requireEachIncludedType: false },
    });
    return secret.ref;
  }

  /** The client gets the PSK as a parameter, which goes into a secret of its own, or as the ARN of a secret. */
  private givenPsk(): string {
    const isWritten = new CfnCondition(this, 'HasPSK', { expression: isGiven(given('PSK')) });
    const secret = new CfnSecret(this, 'PSKSecret', {
      description: `PSK of the Isthmus peering of the stack ${Aws.STACK_NAME}`,
      secretString: given('PSK'),
    });
    secret.cfnOptions.condition = isWritten;
    Validations.of(this).acknowledge(
      { id: 'CloudFormation-Validate::W1030', reason: 'the secret is made only where PSK is not empty' },
      { id: 'CloudFormation-Validate::W2509', reason: 'PSKSecretArn is the name of a secret, not the secret' },
    );
    const psk = Fn.conditionEquals(given('PSK'), '');
    const arn = Fn.conditionEquals(given('PSKSecretArn'), '');
    new CfnRule(this, 'OnePSK', {
      assertions: [
        {
          assert: Fn.conditionOr(
            Fn.conditionAnd(psk, Fn.conditionNot(arn)),
            Fn.conditionAnd(arn, Fn.conditionNot(psk)),
          ),
          assertDescription: 'one of PSK and PSKSecretArn, not both',
        },
      ],
    });
    return Fn.conditionIf(isWritten.logicalId, secret.ref, given('PSKSecretArn')).toString();
  }

  /**
   * An interface that outlives the instance's recovery, so that routes to it stay good. It takes packets that are
   * addressed to others, from the hosts of this VPC only; from elsewhere the one UDP port, and SSH where it is asked for.
   */
  private networkInterface(side: Side): CfnNetworkInterface {
    const underlay = side === 'server' ? given('ClientLocation') : `${given('VPNServerIP')}/32`;
    const port = Token.asNumber({ Ref: 'ListenPort' });
    const ssh = { IpProtocol: 'tcp', FromPort: 22, ToPort: 22, CidrIp: given('SSHLocation'), Description: 'SSH' };
    const group = new CfnSecurityGroup(this, 'SecurityGroup', {
      groupDescription: `Isthmus gateway of the stack ${Aws.STACK_NAME}`,
      vpcId: given('VpcId'),
      securityGroupIngress: [
        { ipProtocol: 'udp', fromPort: port, toPort: port, cidrIp: underlay, description: 'WireGuard' },
        this.onlyIf('HasSSH', isGiven(given('SSHLocation')), ssh),
        ...this.entries('LocalSubnet', 'LocalSubnets', LOCAL_SUBNETS_MAX, (cidr) => ({
          IpProtocol: '-1',
          CidrIp: cidr,
          Description: 'for the other VPC',
        })),
      ],
      tags: this.nameTag(side),
    });
    return new CfnNetworkInterface(this, 'NetworkInterface', {
      subnetId: given('SubnetId'),
      groupSet: [group.attrGroupId],
      sourceDestCheck: false,
      description: `Isthmus gateway of the stack ${Aws.STACK_NAME}`,
      tags: this.nameTag(side),
    });
  }

  private instance(side: Side, networkInterface: CfnNetworkInterface, pskSecretArn: string): CfnInstance {
    const instance = new CfnInstance(this, INSTANCE, {
      instanceType: given('InstanceType'),
      keyName: this.onlyIf('HasKey', isGiven(given('KeyName')), given('KeyName')).toString(),
      iamInstanceProfile: this.instanceProfile(pskSecretArn).ref,
      // The first version for good: an update of the stack finds a newer image under the same name, and would otherwise
      // put a new instance in the place of one that carries traffic, and then fail, as the interface is in use.
      launchTemplate: { launchTemplateId: this.launchTemplate().ref, version: '1' },
      networkInterfaces: [{ deviceIndex: '0', networkInterfaceId: networkInterface.ref }],
      blockDeviceMappings: [{ deviceName: '/dev/xvda', ebs: { volumeType: 'gp3', encrypted: true } }],
      userData: Fn.base64(userData()),
      tags: this.nameTag(side),
    });
    instance.cfnOptions.metadata = { 'AWS::CloudFormation::Init': initMetadata(side, pskSecretArn) };
    instance.cfnOptions.creationPolicy = { resourceSignal: { count: 1, timeout: BOOT } };
    return instance;
  }

  private launchTemplate(): CfnLaunchTemplate {
    const architectures = new CfnMapping(this, 'InstanceTypes', {
      mapping: Object.fromEntries(Object.entries(INSTANCE_TYPES).map(([type, cpu]) => [type, { Cpu: cpu }])),
    });
    const isArm = new CfnCondition(this, 'IsArm', {
      expression: Fn.conditionEquals(architectures.findInMap(given('InstanceType'), 'Cpu'), 'arm'),
    });
    return new CfnLaunchTemplate(this, 'LaunchTemplate', {
      launchTemplateData: {
        imageId: Fn.conditionIf(isArm.logicalId, given('ImageArm'), given('ImageX86')).toString(),
        metadataOptions: { httpEndpoint: 'enabled', httpTokens: 'required', httpPutResponseHopLimit: 1 },
      },
    });
  }

  /** The instance may read one secret and one object. Nothing in it lets it change anything in the account. */
  private instanceProfile(pskSecretArn: string): CfnInstanceProfile {
    const archive = Fn.sub('arn:${AWS::Partition}:s3:::${PackageBucket}/${PackageKey}');
    const allow = (action: string, resource: string): unknown => ({
      Effect: 'Allow',
      Action: action,
      Resource: resource,
    });
    const sessions = Fn.sub('arn:${AWS::Partition}:iam::aws:policy/AmazonSSMManagedInstanceCore');
    const role = new CfnRole(this, 'Role', {
      assumeRolePolicyDocument: {
        Version: '2012-10-17',
        Statement: [
          {
            Effect: 'Allow',
            Principal: { Service: `ec2.${Aws.URL_SUFFIX}` },
            Action: 'sts:AssumeRole',
          },
        ],
      },
      managedPolicyArns: [
        this.onlyIf('HasSessions', Fn.conditionEquals(given('SessionManager'), 'yes'), sessions).toString(),
      ],
      policies: [
        {
          policyName: 'gateway',
          policyDocument: {
            Version: '2012-10-17',
            Statement: [allow('secretsmanager:GetSecretValue', pskSecretArn), allow('s3:GetObject', archive)],
          },
        },
      ],
    });
    return new CfnInstanceProfile(this, 'InstanceProfile', { roles: [role.ref] });
  }

  /** When the machine below the instance fails, EC2 moves it to another, with its interface, address and disk. */
  private recovery(instance: CfnInstance): void {
    new CfnAlarm(this, 'Recovery', {
      alarmDescription: 'Recovers the gateway when the system below it fails',
      namespace: 'AWS/EC2',
      metricName: 'StatusCheckFailed_System',
      dimensions: [{ name: 'InstanceId', value: instance.ref }],
      statistic: 'Maximum',
      period: 60,
      evaluationPeriods: 2,
      threshold: 0,
      comparisonOperator: 'GreaterThanThreshold',
      alarmActions: [Fn.sub('arn:${AWS::Partition}:automate:${AWS::Region}:ec2:recover')],
    });
  }

  /**
   * A route in each route table, to all of the other VPC's networks at once by a prefix list. As resources of the stack
   * they go when it goes, and the instance needs no leave to change routes.
   */
  private routes(networkInterface: CfnNetworkInterface): void {
    const networks = new CfnPrefixList(this, 'PeerNetworks', {
      prefixListName: `isthmus-${Aws.STACK_NAME}`,
      addressFamily: 'IPv4',
      maxEntries: PEER_SUBNETS_MAX,
      entries: this.entries('PeerSubnet', 'PeerVPNSubnets', PEER_SUBNETS_MAX, (cidr) => ({ Cidr: cidr })),
    });
    for (let place = 0; place < ROUTE_TABLES_MAX; place++) {
      const table = entry('RouteTableIds', place, ROUTE_TABLES_MAX);
      const route = new CfnRoute(this, `Route${place + 1}`, {
        routeTableId: table,
        destinationPrefixListId: networks.attrPrefixListId,
        networkInterfaceId: networkInterface.ref,
      });
      route.cfnOptions.condition = new CfnCondition(this, `HasRouteTable${place + 1}`, { expression: isGiven(table) });
    }
  }

  private outputs(side: Side, parts: Parts): void {
    const { instance, networkInterface, address, pskSecretArn } = parts;
    const output = (name: string, description: string, value: string): unknown =>
      new CfnOutput(this, name, { description, value });
    const isServer = side === 'server';
    // By this name the reference deployment shows the PSK itself; here it is only where to find it.
    if (isServer) output('PSK', "ARN of the secret with the PSK: the client stack's PSKSecretArn", pskSecretArn);
    output('InstanceId', 'The gateway', instance.ref);
    output(isServer ? 'VPNServerIP' : 'VPNClientIP', 'Public address of the gateway', address.attrPublicIp);
    output('NetworkInterfaceId', 'Target for routes to PeerVPNSubnets in further route tables', networkInterface.ref);
  }

  /** A list of what is made of each entry of a parameter. The first is always there. */
  private entries(
    name: string,
    parameter: string,
    max: number,
    make: (entry: string) => Record<string, string>,
  ): IResolvable[] {
    return Array.from({ length: max }, (_, place) => {
      const text = entry(parameter, place, max);
      return this.onlyIf(`Has${name}${place + 1}`, isGiven(text), make(text));
    });
  }

  /** A value, or no such property at all unless the condition holds. */
  private onlyIf(name: string, condition: ICfnConditionExpression, value: unknown): IResolvable {
    new CfnCondition(this, name, { expression: condition });
    return Fn.conditionIf(name, value, Aws.NO_VALUE);
  }

  private nameTag(side: Side): { key: string; value: string }[] {
    return [{ key: 'Name', value: `${Aws.STACK_NAME}: Isthmus ${side}` }];
  }
}

interface Parts {
  instance: CfnInstance;
  networkInterface: CfnNetworkInterface;
  address: CfnEIP;
  pskSecretArn: string;
}

function isGiven(text: string): ICfnRuleConditionExpression {
  return Fn.conditionNot(Fn.conditionEquals(text, ''));
}
