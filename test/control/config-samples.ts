import type { ConfigText } from '../../src/control/config.ts';

export const PSK = '0123456789abcdef'.repeat(4);
export const KEY = Buffer.alloc(32, 7).toString('base64');
export const ENVIRONMENT = {
  PSK,
  OTHER_PSK: 'f'.repeat(64),
  SHORT: 'ab'.repeat(16),
  EMPTY: '',
  NOT_A_PSK: 'Hello, world!',
};

/** A configuration without a fault, for tests to change pieces of. */
export const GOOD = `gateway:
  name: ningxia
  interface: ist0
  address: 10.8.0.1/24
  listen: 51820
  mtu: auto
  subnets: [172.31.0.0/16]
  rekey: 120s
  flows: 1024
peerings:
  - name: beijing
    role: server
    psk: {env: PSK}
    cipher: auto
    endpoint: 203.0.113.7:51820
    subnets: [192.168.0.0/16]
    keepalive: 25s
    acl: web
  - name: tokyo
    role: client
    psk: {env: OTHER_PSK}
    subnets: [192.0.2.0/24]
    acl: web
acls:
  web:
    - {name: web, action: allow, direction: in, protocol: tcp, destination: 172.31.1.0/24, ports: 443}
    - {name: ping, action: allow, protocol: icmp, icmp: {type: 8}}
`;

export function inMemory(text: string): ConfigText {
  return { text, file: 'g.yaml', directory: '/nowhere' };
}
