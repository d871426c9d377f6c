import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import test from 'ava';
import { Match, Template as Assertions } from 'aws-cdk-lib/assertions';
import { parse } from 'yaml';
import type { Side } from '../../deploy/cloudformation/parameters.ts';
import { SIDES, synthesise, templateText } from '../../deploy/cloudformation/templates.ts';
import { formatFault, readConfig } from '../../src/control/config.ts';
import { decodePsk } from '../../src/gateway/secrets.ts';
import { PSK } from '../control/config-samples.ts';
import type { Place, Template } from './intrinsics.ts';
import { PLACES, resolve } from './intrinsics.ts';

const ROOT = new URL('../../../', import.meta.url);
const SHA256 = '0123456789abcdef'.repeat(4);
const GIVEN_SECRET = 'arn:aws:secretsmanager:us-east-1:123456789012:secret:PSKSecret-AbCdEf';
const TABLES = ['rtb-0123456789abcdef0', 'rtb-89abcdef'];

const texts: Record<Side, string> = { server: templateText('server'), client: templateText('client') };
const templates = { server: parse(texts.server) as Template, client: parse(texts.client) as Template };

const COMMON = {
  VpcId: 'vpc-1',
  SubnetId: 'subnet-1',
  PackageBucket: 'packages',
  PackageKey: 'isthmus/isthmus-0.1.0.tgz',
  PackageSha256: SHA256,
  ImageX86: 'ami-x86',
  ImageArm: 'ami-arm',
};
const GIVEN: Record<Side, Record<string, string>> = {
  server: { ...COMMON, LocalSubnets: '172.31.0.0/16', PeerVPNSubnets: '192.168.0.0/16,10.1.0.0/16' },
  client: {
    ...COMMON,
    LocalSubnets: '192.168.0.0/16,10.1.0.0/16',
    PeerVPNSubnets: '172.31.0.0/16',
    VPNServerIP: '203.0.113.7',
    PSKSecretArn: GIVEN_SECRET,
  },
};

interface Stack {
  readonly side: Side;
  readonly place: Place;
  readonly template: Template;
  readonly assertions: Assertions;
}

function stack(side: Side, place: Place, more: Record<string, string> = {}): Stack {
  const template = resolve(templates[side], { ...GIVEN[side], ...more }, place);
  return { side, place, template, assertions: Assertions.fromJSON(template) };
}

/** Every combination of a side and a partition, with these parameters besides those that a stack can't do without. */
function stacks(more: Record<string, string> = {}): Stack[] {
  return SIDES.flatMap((side) => PLACES.map((place) => stack(side, place, more)));
}

interface InstanceFile {
  readonly content: string;
  readonly mode: string;
}

function instanceFiles({ template }: Stack): Record<string, InstanceFile> {
  const { Metadata } = template.Resources['Instance'] as unknown as {
    Metadata: { 'AWS::CloudFormation::Init': { config: { files: Record<string, InstanceFile> } } };
  };
  return Metadata['AWS::CloudFormation::Init'].config.files;
}

/** The configuration that the instance gets, read as `isthmus check` reads it. */
function configOf(of: Stack): ReturnType<typeof readConfig> {
  const text = instanceFiles(of)['/etc/isthmus/gateway.yaml'].content;
  const withKey = text.replace('{ file: /run/isthmus-psk/peer.psk }', '{ env: ISTHMUS_PSK }');
  return readConfig({ text: withKey, file: 'gateway.yaml', directory: '/' }, { ISTHMUS_PSK: PSK });
}

test('the published files are what the sources make', (t) => {
  for (const side of SIDES) {
    const published = readFileSync(new URL(`deploy/cloudformation/${side}.yaml`, ROOT), 'utf8');
    t.true(published === texts[side], `${side}.yaml is not up to date: npm run templates`);
    t.true(published.length < 51_200, 'CloudFormation takes up to 51,200 bytes from a file');
  }
});

test('one template serves every region of both partitions', (t) => {
  for (const side of SIDES) {
    for (const { region } of PLACES)
      t.deepEqual(synthesise(side, { region }), templates[side] as object, `${side} for ${region}`);
    t.notRegex(texts[side], /amazonaws\.com|arn:aws:|us-east-1|cn-north-1/, 'names of one partition or region');
  }
});

test("the reference's parameters and outputs", (t) => {
  const both = ['InstanceType', 'KeyName', 'VpcId', 'SubnetId', 'SSHLocation', 'PeerVPNSubnets'];
  const { server, client } = templates;
  for (const name of both) t.true(name in server.Parameters && name in client.Parameters, name);
  for (const name of ['PSK', 'VPNServerIP']) t.true(name in client.Parameters, name);
  for (const name of ['PSK', 'InstanceId', 'VPNServerIP']) t.true(name in server.Outputs, name);
  for (const { Parameters } of [server, client]) {
    const types = Parameters['InstanceType']['AllowedValues'] as string[];
    t.true(['t2.micro', 'c4.large', 'c7i.large'].every((type) => types.includes(type)));
  }
});

test('the console shows every parameter under a heading', (t) => {
  for (const side of SIDES) {
    const { Metadata } = templates[side] as unknown as {
      Metadata: { 'AWS::CloudFormation::Interface': { ParameterGroups: { Parameters: string[] }[] } };
    };
    const shown = Metadata['AWS::CloudFormation::Interface'].ParameterGroups.flatMap(({ Parameters }) => Parameters);
    t.deepEqual(shown.sort(), Object.keys(templates[side].Parameters).sort());
  }
});

test('the PSK is generated, of at least 256 bits, and only its ARN leaves the stack', (t) => {
  for (const place of PLACES) {
    const { assertions, template } = stack('server', place);
    assertions.hasResourceProperties('AWS::SecretsManager::Secret', {
      GenerateSecretString: { PasswordLength: 64, ExcludePunctuation: true, RequireEachIncludedType: false },
      SecretString: Match.absent(),
    });
    t.is(template.Outputs['PSK'].Value, '<PSKSecret>');
  }
  // What Secrets Manager makes of that: letters and digits. They are good base64, of more bits than are wanted.
  t.is(decodePsk('aZ09'.repeat(16)).length, 48);
});

test('a PSK that is given is kept in a secret and stands nowhere else', (t) => {
  const psk = 'f00d'.repeat(16);
  for (const place of PLACES) {
    const { template, assertions } = stack('client', place, { PSK: psk, PSKSecretArn: '' });
    assertions.hasResourceProperties('AWS::SecretsManager::Secret', { SecretString: psk });
    const { PSKSecret, ...others } = template.Resources;
    t.truthy(PSKSecret);
    t.false(JSON.stringify([others, template.Outputs]).includes(psk));
  }
  t.is(templates.client.Parameters['PSK']['NoEcho'], true);
  t.false('PSK' in templates.server.Parameters);
});

test('a client takes a PSK or the ARN of a secret, and says so where it gets both or neither', (t) => {
  const verdict = (more: Record<string, string>): unknown =>
    stack('client', PLACES[0], more).template.Rules!['OnePSK'].Assertions[0].Assert;
  const psk = 'f00d'.repeat(16);
  t.true(verdict({ PSK: psk, PSKSecretArn: '' }));
  t.true(verdict({ PSK: '', PSKSecretArn: GIVEN_SECRET }));
  t.false(verdict({ PSK: psk, PSKSecretArn: GIVEN_SECRET }));
  t.false(verdict({ PSK: '', PSKSecretArn: '' }));
  stack('client', PLACES[0]).assertions.resourceCountIs('AWS::SecretsManager::Secret', 0);
});

test('the instance may read its secret and its package, and nothing else', (t) => {
  for (const { side, place, assertions } of stacks()) {
    const [role, ...others] = Object.values(assertions.findResources('AWS::IAM::Role')) as Role[];
    t.deepEqual(others, []);
    t.deepEqual(role.Properties.ManagedPolicyArns, []);
    t.deepEqual(role.Properties.AssumeRolePolicyDocument.Statement, [
      { Effect: 'Allow', Principal: { Service: `ec2.${place.urlSuffix}` }, Action: 'sts:AssumeRole' },
    ]);
    const secret = side === 'server' ? '<PSKSecret>' : GIVEN_SECRET;
    const archive = `arn:${place.partition}:s3:::packages/isthmus/isthmus-0.1.0.tgz`;
    t.deepEqual(
      role.Properties.Policies.flatMap(({ PolicyDocument }) => PolicyDocument.Statement),
      [
        { Effect: 'Allow', Action: 'secretsmanager:GetSecretValue', Resource: secret },
        { Effect: 'Allow', Action: 's3:GetObject', Resource: archive },
      ],
    );
    assertions.resourceCountIs('AWS::IAM::Policy', 0);
  }
  for (const { place, assertions } of stacks({ SessionManager: 'yes' }))
    assertions.hasResourceProperties('AWS::IAM::Role', {
      ManagedPolicyArns: [`arn:${place.partition}:iam::aws:policy/AmazonSSMManagedInstanceCore`],
    });
});

interface Role {
  readonly Properties: {
    readonly ManagedPolicyArns: string[];
    readonly AssumeRolePolicyDocument: { readonly Statement: unknown[] };
    readonly Policies: { readonly PolicyDocument: { readonly Statement: unknown[] } }[];
  };
}

test('one UDP port is open, the VPC may send what is to be forwarded, and SSH comes in only where it is asked for', (t) => {
  const ingress = ({ template }: Stack): unknown[] =>
    (template.Resources['SecurityGroup'].Properties['SecurityGroupIngress'] as Record<string, unknown>[]).map(
      ({ IpProtocol, FromPort, CidrIp }) => [IpProtocol, FromPort, CidrIp],
    );
  const port = (text: string): number => Number(text);
  for (const each of stacks()) {
    const locals = GIVEN[each.side]['LocalSubnets'].split(',').map((cidr) => ['-1', undefined, cidr]);
    const underlay = each.side === 'server' ? '0.0.0.0/0' : '203.0.113.7/32';
    t.deepEqual(ingress(each), [['udp', '51820', underlay], ...locals]);
  }
  for (const each of stacks({ SSHLocation: '198.51.100.0/24', ListenPort: '4500', ClientLocation: '203.0.113.9/32' })) {
    const [[, udp, underlay], ssh] = ingress(each) as string[][];
    t.is(port(udp), 4500);
    t.is(underlay, each.side === 'server' ? '203.0.113.9/32' : '203.0.113.7/32');
    t.deepEqual(ssh, ['tcp', 22, '198.51.100.0/24'] as unknown as string[]);
  }
});

test("the instance's only interface is its own resource, forwards, and has an address before the instance starts", (t) => {
  for (const { template, assertions } of stacks()) {
    assertions.hasResourceProperties('AWS::EC2::NetworkInterface', {
      SourceDestCheck: false,
      SubnetId: 'subnet-1',
      GroupSet: ['<SecurityGroup.GroupId>'],
    });
    assertions.hasResourceProperties('AWS::EC2::EIPAssociation', {
      AllocationId: '<Address.AllocationId>',
      NetworkInterfaceId: '<NetworkInterface>',
    });
    assertions.hasResource('AWS::EC2::Instance', {
      DependsOn: ['AddressAssociation'],
      Properties: { NetworkInterfaces: [{ DeviceIndex: '0', NetworkInterfaceId: '<NetworkInterface>' }] },
    });
    t.is(template.Outputs['NetworkInterfaceId'].Value, '<NetworkInterface>');
  }
});

test('every route table that is named gets a route to the interface, and no other', (t) => {
  for (const { side, assertions } of stacks({ RouteTableIds: TABLES.join(',') })) {
    const routes = Object.values(assertions.findResources('AWS::EC2::Route')) as { Properties: unknown }[];
    t.deepEqual(
      routes.map(({ Properties }) => Properties),
      TABLES.map((table) => ({
        RouteTableId: table,
        DestinationPrefixListId: '<PeerNetworks.PrefixListId>',
        NetworkInterfaceId: '<NetworkInterface>',
      })),
    );
    assertions.hasResourceProperties('AWS::EC2::PrefixList', {
      Entries: GIVEN[side]['PeerVPNSubnets'].split(',').map((Cidr) => ({ Cidr })),
      AddressFamily: 'IPv4',
    });
  }
  for (const { assertions } of stacks()) assertions.resourceCountIs('AWS::EC2::Route', 0);
  const most = Array.from({ length: 10 }, (_, place) => `rtb-0000000${place}`).join(',');
  for (const { assertions } of stacks({ RouteTableIds: most })) assertions.resourceCountIs('AWS::EC2::Route', 10);
  t.pass();
});

test('metadata is version 2 only, with one hop, and an update does not exchange the image', (t) => {
  for (const { assertions } of stacks()) {
    assertions.hasResourceProperties('AWS::EC2::LaunchTemplate', {
      LaunchTemplateData: {
        ImageId: 'ami-x86',
        MetadataOptions: { HttpEndpoint: 'enabled', HttpTokens: 'required', HttpPutResponseHopLimit: 1 },
      },
    });
    assertions.hasResourceProperties('AWS::EC2::Instance', {
      LaunchTemplate: { LaunchTemplateId: '<LaunchTemplate>', Version: '1' },
      ImageId: Match.absent(),
      KeyName: Match.absent(),
      BlockDeviceMappings: [{ DeviceName: '/dev/xvda', Ebs: Match.objectLike({ Encrypted: true }) }],
    });
  }
  for (const { assertions } of stacks({ InstanceType: 'c7g.large', KeyName: 'mine' })) {
    assertions.hasResourceProperties('AWS::EC2::LaunchTemplate', {
      LaunchTemplateData: Match.objectLike({ ImageId: 'ami-arm' }),
    });
    assertions.hasResourceProperties('AWS::EC2::Instance', { InstanceType: 'c7g.large', KeyName: 'mine' });
  }
  for (const side of SIDES)
    for (const [image, cpu] of [
      ['ImageX86', 'x86_64'],
      ['ImageArm', 'arm64'],
    ]) {
      const { Type, Default } = templates[side].Parameters[image];
      t.is(Type, 'AWS::SSM::Parameter::Value<AWS::EC2::Image::Id>');
      t.is(Default, `/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-${cpu}`);
    }
});

test('a machine that fails below the instance is exchanged', (t) => {
  for (const { place, assertions } of stacks()) {
    assertions.hasResourceProperties('AWS::CloudWatch::Alarm', {
      Namespace: 'AWS/EC2',
      MetricName: 'StatusCheckFailed_System',
      Dimensions: [{ Name: 'InstanceId', Value: '<Instance>' }],
      AlarmActions: [`arn:${place.partition}:automate:${place.region}:ec2:recover`],
    });
  }
  t.pass();
});

test('the stack waits for the gateway, which reports to its own region', (t) => {
  for (const { place, assertions, template } of stacks()) {
    assertions.hasResource('AWS::EC2::Instance', {
      CreationPolicy: { ResourceSignal: { Count: 1, Timeout: 'PT15M' } },
    });
    const script = template.Resources['Instance'].Properties['UserData'] as string;
    const endpoint = `--region ${place.region} --url https://cloudformation.${place.region}.${place.urlSuffix}\n`;
    for (const command of ['cfn-init', 'cfn-signal'])
      t.true(
        script.split('\n').some((line) => line.includes(`/opt/aws/bin/${command} `) && `${line}\n`.endsWith(endpoint)),
        command,
      );
    t.true(script.indexOf('cfn-signal') < script.indexOf('cfn-init'), 'a failure is reported as well');
  }
});

test('user data never changes, so an update does not restart the instance', (t) => {
  const change = { LocalSubnets: '10.9.0.0/16', PackageSha256: 'f'.repeat(64), Acl: '[]', SSHLocation: '0.0.0.0/0' };
  for (const [index, { template }] of stacks().entries()) {
    const userData = (of: Template): unknown => of.Resources['Instance'].Properties['UserData'];
    t.is(userData(stacks(change)[index].template), userData(template));
  }
});

test('the scripts of an instance are good shell', (t) => {
  for (const each of stacks()) {
    const userData = each.template.Resources['Instance'].Properties['UserData'] as string;
    const script = instanceFiles(each)['/usr/local/sbin/isthmus-instance'].content;
    for (const text of [userData, script]) {
      t.true(text.startsWith('#!/bin/bash\n'));
      t.true(text.length < 16_384);
      t.notThrows(() => execFileSync('bash', ['-n'], { input: text }));
      t.notThrows(() => execFileSync('shellcheck', ['-'], { input: text, encoding: 'utf8' }));
    }
  }
});

test("each side's configuration is good, and they fit together", (t) => {
  for (const place of PLACES) {
    const [server, client] = SIDES.map((side) => {
      const result = configOf(stack(side, place));
      if ('faults' in result) throw new Error(result.faults.map(formatFault).join('\n'));
      return result.config;
    });
    t.is(server.name, `server-${place.region}`);
    t.deepEqual(server.peerings[0].subnets, client.subnets);
    t.deepEqual(client.peerings[0].subnets, server.subnets);
  }
  const wrong = configOf(stack('server', PLACES[0], { Acl: '[{ action: maybe }]' }));
  t.true('faults' in wrong && wrong.faults[0].line > 1);
});

/** What others may read: units, and the configuration, which says only where the PSK is. */
const OPEN = /\/systemd\/|gateway\.yaml$/;

test('files of the instance are closed where others have no business', (t) => {
  for (const each of stacks()) {
    for (const [path, { mode }] of Object.entries(instanceFiles(each)))
      t.is(mode, /\/sbin\//.test(path) ? '000755' : OPEN.test(path) ? '000644' : '000600', path);
    t.true(instanceFiles(each)['/etc/isthmus/instance.env'].content.includes(`PACKAGE_SHA256="${SHA256}"\n`));
  }
});

const VALUES: readonly (readonly [side: Side, parameter: string, good: readonly string[], bad: readonly string[]])[] = [
  [
    'server',
    'PeerVPNSubnets',
    ['10.0.0.0/8', '10.0.0.0/16,10.1.0.0/16', Array.from({ length: 10 }, (_, n) => `10.${n}.0.0/16`).join(',')],
    ['', '10.0.0.0', '10.0.0.0/33', '10.256.0.0/16', '10.0.0.0/16, 10.1.0.0/16', '10.0.0.0/16,'],
  ],
  ['server', 'PeerVPNSubnets', [], [Array.from({ length: 11 }, (_, n) => `10.${n}.0.0/16`).join(',')]],
  ['server', 'LocalSubnets', ['172.31.0.0/16'], ['', Array.from({ length: 6 }, (_, n) => `10.${n}.0.0/16`).join(',')]],
  ['server', 'RouteTableIds', ['', TABLES.join(',')], ['rtb', 'rtb-xyz', TABLES.join(', ')]],
  ['server', 'SSHLocation', ['', '203.0.113.0/24'], ['any', '203.0.113.7']],
  ['server', 'ClientLocation', ['0.0.0.0/0'], ['', '203.0.113.7']],
  ['server', 'Acl', ['[]', '[{ action: allow }]'], ['', 'web', '[]\nother: 1']],
  ['server', 'PackageSha256', [SHA256], ['', SHA256.toUpperCase(), SHA256.slice(1)]],
  ['server', 'PackageKey', ['a/b.tar.gz'], ['', '*', 'a b', 'a$(reboot)', 'a"b']],
  ['client', 'VPNServerIP', ['203.0.113.7'], ['', 'vpn.example.com', '203.0.113.7:51820']],
  ['client', 'PSK', ['', 'A'.repeat(43) + '=', 'f'.repeat(512)], ['secret', 'f'.repeat(32)]],
  ['client', 'PSKSecretArn', ['', GIVEN_SECRET, GIVEN_SECRET.replace('aws', 'aws-cn')], ['psk', `${GIVEN_SECRET}"`]],
];

for (const [side, parameter, good, bad] of VALUES) {
  test(`${parameter} of the ${side} takes ${good.length} good values and refuses ${bad.length} bad ones`, (t) => {
    const { AllowedPattern, ConstraintDescription } = templates[side].Parameters[parameter];
    for (const value of good) t.regex(value, new RegExp(AllowedPattern as string));
    for (const value of bad) t.notRegex(value, new RegExp(AllowedPattern as string));
    t.truthy(ConstraintDescription);
  });
}
