/**
 * What an instance is told: the user data of its first boot, which never changes, and the files, kept in the metadata of
 * the stack, that cfn-init writes then and cfn-hup writes again when an update of the stack changes them. Neither holds
 * the PSK: the instance reads it from Secrets Manager.
 */
import { readFileSync } from 'node:fs';
import { Fn } from 'aws-cdk-lib/core';
import type { Side } from './parameters.ts';

/** The project's folder, from the place of this file once it is compiled. */
const ROOT = new URL('../../../', import.meta.url);

/** Logical name of the instance, by which cfn-init finds the metadata and cfn-signal reports. */
export const INSTANCE = 'Instance';

/** The names that the helper scripts ask CloudFormation under; the endpoint's suffix differs in China. */
const ENDPOINT = 'https://cloudformation.${AWS::Region}.${AWS::URLSuffix}';
const STACK = `--stack \${AWS::StackName} --resource ${INSTANCE} --region \${AWS::Region} --url ${ENDPOINT}`;

/** The shell script of the first boot. How it ended, and if badly why, it says in the stack's events. */
export function userData(): string {
  return Fn.sub(`#!/bin/bash
set -euo pipefail
exec > >(tee -a /var/log/isthmus-boot.log) 2>&1

report() {
  status=$?
  trap - EXIT
  reason="the gateway is up"
  if [ "$status" -ne 0 ]; then
    reason="$(cat /run/isthmus-failure 2>/dev/null || tail -n 1 /var/log/isthmus-boot.log)"
  fi
  /opt/aws/bin/cfn-signal --exit-code "$status" --reason "$reason" ${STACK}
}
trap report EXIT

dnf -y install aws-cfn-bootstrap nodejs22 nftables iproute tar gzip
/opt/aws/bin/cfn-init -v ${STACK}
`);
}

interface File {
  content: string;
  mode: string;
  owner: 'root';
  group: 'root';
}

function file(mode: '000600' | '000644' | '000755', content: string): File {
  return { content, mode, owner: 'root', group: 'root' };
}

/** The AWS::CloudFormation::Init metadata: every file of the instance, then the script that puts them to use. */
export function initMetadata(side: Side, pskSecretArn: string): Record<string, unknown> {
  const script = readFileSync(new URL('deploy/cloudformation/isthmus-instance.sh', ROOT), 'utf8');
  return {
    config: {
      files: {
        '/etc/isthmus/gateway.yaml': file('000644', gatewayConfig(side)),
        '/etc/isthmus/instance.env': file('000600', settings(pskSecretArn)),
        '/usr/local/sbin/isthmus-instance': file('000755', script),
        '/etc/systemd/system/isthmus@gateway.service.d/instance.conf': file('000644', GATEWAY_DROP_IN),
        '/etc/systemd/system/isthmus-firewall.service': file('000644', FIREWALL_UNIT),
        '/etc/systemd/system/cfn-hup.service': file('000644', CFN_HUP_UNIT),
        '/etc/cfn/cfn-hup.conf': file('000600', Fn.sub(CFN_HUP)),
        '/etc/cfn/hooks.d/isthmus.conf': file('000600', Fn.sub(CFN_HUP_HOOK)),
      },
      commands: {
        '1-apply': { command: '/usr/local/sbin/isthmus-instance apply' },
        '2-watch': { command: 'systemctl enable --now cfn-hup' },
      },
    },
  };
}

/** The gateway's configuration. Overlay addresses are those of the reference deployment. */
function gatewayConfig(side: Side): string {
  const isServer = side === 'server';
  const peer = isServer ? 'client' : 'server';
  // The side that calls also holds open the way through its security group and any NAT.
  const called = isServer ? '' : "    endpoint: '${VPNServerIP}:${ListenPort}'\n    keepalive: 25s\n";
  return Fn.sub(`# Written by the stack \${AWS::StackName}, and again whenever it is updated: change its parameters, not this file.
gateway:
  name: ${side}-\${AWS::Region}
  address: 10.8.0.${isServer ? 1 : 2}/30
  listen: \${ListenPort}
  subnets: [\${LocalSubnets}]
peerings:
  - name: ${peer}
    role: ${side}
    psk: { file: /run/isthmus-psk/peer.psk }
${called}    subnets: [\${PeerVPNSubnets}]
    acl: ${peer}
acls:
  ${peer}: \${Acl}
`);
}

function settings(pskSecretArn: string): string {
  const values = {
    PACKAGE_BUCKET: '${PackageBucket}',
    PACKAGE_KEY: '${PackageKey}',
    PACKAGE_SHA256: '${PackageSha256}',
    PSK_SECRET_ARN: '${Secret}',
    LISTEN_PORT: '${ListenPort}',
    SSH_LOCATION: '${SSHLocation}',
  };
  const lines = Object.entries(values).map(([name, value]) => `${name}="${value}"\n`);
  return Fn.sub(lines.join(''), { Secret: pskSecretArn });
}

/**
 * What an instance adds to the unit that comes with the package. The `+`: as root, as the gateway itself is not. It is tried
 * again without end, as Secrets Manager may be out of reach for a while.
 */
const GATEWAY_DROP_IN = `[Service]
ExecStartPre=+/usr/local/sbin/isthmus-instance psk
RestartSec=5
`;

const FIREWALL_UNIT = `[Unit]
Description=What may be addressed to this gateway itself
Wants=network-pre.target
Before=network-pre.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/nft --file /etc/isthmus/host.nft

[Install]
WantedBy=multi-user.target
`;

const CFN_HUP_UNIT = `[Unit]
Description=Waits for updates of the CloudFormation stack
Wants=network-online.target
After=network-online.target

[Service]
ExecStart=/opt/aws/bin/cfn-hup
Restart=always
RestartSec=30

[Install]
WantedBy=multi-user.target
`;

const CFN_HUP = `[main]
stack=\${AWS::StackId}
region=\${AWS::Region}
url=${ENDPOINT}
interval=2
`;

const CFN_HUP_HOOK = `[isthmus]
triggers=post.update
path=Resources.${INSTANCE}.Metadata.AWS::CloudFormation::Init
action=/opt/aws/bin/cfn-init -v ${STACK}
runas=root
`;
