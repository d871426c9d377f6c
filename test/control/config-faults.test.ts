import test from 'ava';
import { formatFault, readConfig } from '../../src/control/config.ts';
import { ENVIRONMENT, GOOD, KEY, PSK, inMemory } from './config-samples.ts';

/** What is changed to what, « marking the place where the fault is, and what has to be said of it. */
const FAULTS: readonly (readonly [from: string, to: string, fault: string])[] = [
  [
    '  mtu: auto',
    '  mtu: auto\n  «subnet: [10.0.0.0/8]',
    'gateway.subnet: unknown key "subnet" (did you mean "subnets"?); wanted name, interface, address, listen, endpoint, peering_quota, metrics, mtu, subnets, rekey, flows, tcp_established_timeout, private_key, log_level, flow_logs, mode, route_table, propagate_to, security_groups, network_acl (ISTHMUS_CONFIG_UNKNOWN_KEY)',
  ],
  [
    '  flows: 1024',
    '  endpoint: «203.0.113.7',
    'gateway.endpoint: "203.0.113.7" is no endpoint; wanted host:port such as 203.0.113.7:51820, [2001:db8::7]:51820 or vpn.example.com:51820 (ISTHMUS_CONFIG_ENDPOINT)',
  ],
  [
    '  flows: 1024',
    '  peering_quota: «126',
    'gateway.peering_quota: is 126; wanted a whole number from 1 to 125 (ISTHMUS_CONFIG_VALUE)',
  ],
  [
    '  flows: 1024',
    '  flow_logs: [{to: «{file: flows.log}}]',
    'gateway.flow_logs[0].to: has "flows.log" as its file; wanted an absolute path such as /var/log/isthmus/flows.log (ISTHMUS_CONFIG_VALUE)',
  ],
  [
    '  flows: 1024',
    '  flow_logs: [{to: «{command: logger}}]',
    'gateway.flow_logs[0].to: has "logger" as its command; wanted a list of texts: the program and its arguments (ISTHMUS_CONFIG_VALUE)',
  ],
  [
    '  flows: 1024',
    '  flow_logs: [{to: «{file: /a, command: [b]}}]',
    'gateway.flow_logs[0].to: is a mapping; wanted stdout, {file: PATH} or {command: [PROGRAM, ARGUMENT]} (ISTHMUS_CONFIG_VALUE)',
  ],
  [
    '  flows: 1024',
    '  flow_logs: [{to: «{command: [b], keep: 3}}]',
    'gateway.flow_logs[0].to: has max_size or keep, which only a file has (ISTHMUS_CONFIG_VALUE)',
  ],
  [
    '  flows: 1024',
    '  flow_logs: [{to: «{file: /a, max_size: 5MB}}]',
    'gateway.flow_logs[0].to: has "5MB" as max_size; wanted 1MiB to 1024GiB, with KiB, MiB or GiB (ISTHMUS_CONFIG_VALUE)',
  ],
  [
    '  flows: 1024',
    '  flow_logs: [{to: stdout, format: «"${srcaddr} ${destaddr}"}]',
    'gateway.flow_logs[0].format: has the unknown field "destaddr" (did you mean "dstaddr"?); wanted version, account-id, interface-id, srcaddr, dstaddr, srcport, dstport, protocol, packets, bytes, start, end, action, log-status, vpc-id, subnet-id, instance-id, tcp-flags, type, pkt-srcaddr, pkt-dstaddr, region, az-id, sublocation-type, sublocation-id, pkt-src-aws-service, pkt-dst-aws-service, flow-direction, traffic-path, peering, rule, drop-reason, nat (ISTHMUS_CONFIG_VALUE)',
  ],
  [
    '  flows: 1024',
    '  flow_logs: [{to: stdout, format: «"${bytes} packets"}]',
    'gateway.flow_logs[0].format: has "packets"; wanted default, all, or fields such as ${srcaddr} ${dstaddr} ${action} (ISTHMUS_CONFIG_VALUE)',
  ],
  [
    '  flows: 1024',
    '  flow_logs: [{to: stdout, format: «"${bytes} ${bytes}"}]',
    'gateway.flow_logs[0].format: has the field bytes twice; wanted it once (ISTHMUS_CONFIG_VALUE)',
  ],
  [
    '  flows: 1024',
    '  flow_logs: [{to: stdout, interval: «5m}]',
    'gateway.flow_logs[0].interval: is "5m"; wanted 60s or 600s (ISTHMUS_CONFIG_VALUE)',
  ],
  [
    '  flows: 1024',
    '  flow_logs: [{to: stdout, values: «{account-id: 123456789012}}]',
    'gateway.flow_logs[0].values: has 123456789012 as account-id; wanted a text without spaces, in quotes if it is all digits (ISTHMUS_CONFIG_VALUE)',
  ],
  [
    '  flows: 1024',
    '  flow_logs: [{to: stdout, peerings: «beijin}]',
    'gateway.flow_logs[0].peerings: "beijin" is not among peerings (did you mean "beijing"?); wanted one of beijing, tokyo (ISTHMUS_CONFIG_PEERING)',
  ],
  [
    '  flows: 1024',
    '  flow_logs: [{to: {file: /a}}, {to: «{file: /a}, traffic: reject}]',
    'gateway.flow_logs[1].to: /a is the file of gateway.flow_logs[0]; wanted one of its own for each flow log (ISTHMUS_CONFIG_DUPLICATE)',
  ],
  [
    'acls:\n',
    '«acsl: {}\nacls:\n',
    'acsl: unknown key "acsl" (did you mean "acls"?); wanted gateway, peerings, bundles, acls, prefix_lists, route_tables, security_groups, network_acls (ISTHMUS_CONFIG_UNKNOWN_KEY)',
  ],
  [
    'icmp: {type: 8}',
    'icmp: {type: 8, «qqqqqqq: 1}',
    'acls.web[1].icmp.qqqqqqq: unknown key "qqqqqqq"; wanted type, code (ISTHMUS_CONFIG_UNKNOWN_KEY)',
  ],
  [
    '172.31.0.0/16',
    '«172.31.1.0/16',
    'gateway.subnets[0]: 172.31.1.0/16 has host bits set; wanted 172.31.0.0/16 (ISTHMUS_CONFIG_CIDR)',
  ],
  [
    '[192.168.0.0/16]',
    '[«"2001:db8::1/32"]',
    'peerings[0].subnets[0]: 2001:db8::1/32 has host bits set; wanted 2001:db8::/32 (ISTHMUS_CONFIG_CIDR)',
  ],
  [
    '[192.168.0.0/16]',
    '«192.168.0/16',
    'peerings[0].subnets: "192.168.0/16" is not a CIDR; wanted a CIDR such as 10.0.0.0/16 (ISTHMUS_CONFIG_CIDR)',
  ],
  [
    '10.8.0.1/24',
    '«10.8.0.0/24',
    'gateway.address: 10.8.0.0/24 is the network itself; wanted the address of a host in it (ISTHMUS_CONFIG_CIDR)',
  ],
  [
    '10.8.0.1/24',
    '«10.8.0.255/24',
    "gateway.address: 10.8.0.255/24 is the network's broadcast address; wanted the address of a host in it (ISTHMUS_CONFIG_CIDR)",
  ],
  [
    '    keepalive: 25s',
    '    address: «10.9.0.2/24',
    'peerings[0].address: 10.9.0.2/24 is a network; wanted one address: 10.9.0.2 (ISTHMUS_CONFIG_CIDR)',
  ],
  [
    'listen: 51820',
    'listen: «65536',
    'gateway.listen: port 65536 is out of range; wanted 1 to 65535 (ISTHMUS_CONFIG_PORT)',
  ],
  [
    'listen: 51820',
    'listen: «198.51.100.1:0',
    'gateway.listen: port 0 is out of range; wanted 1 to 65535 (ISTHMUS_CONFIG_PORT)',
  ],
  [
    'mtu: auto',
    'metrics: «localhost:9586',
    'gateway.metrics: "localhost:9586" names the host "localhost"; wanted a port such as 9586, or address:port such as 127.0.0.1:9586 (ISTHMUS_CONFIG_ENDPOINT)',
  ],
  [
    'mtu: auto',
    'metrics: «127.0.0.1:0',
    'gateway.metrics: port 0 is out of range; wanted 1 to 65535 (ISTHMUS_CONFIG_PORT)',
  ],
  [
    'mtu: auto',
    'metrics: «true',
    'gateway.metrics: is true; wanted a port such as 9586, or address:port such as 127.0.0.1:9586 (ISTHMUS_CONFIG_VALUE)',
  ],
  [
    'mtu: auto',
    'metrics: «{page: true}',
    'gateway.metrics.listen: is missing; wanted a port such as 9586, or address:port such as 127.0.0.1:9586 (ISTHMUS_CONFIG_MISSING)',
  ],
  [
    'mtu: auto',
    'metrics: {listen: 9586, page: «yes please}',
    'gateway.metrics.page: is "yes please"; wanted true or false (ISTHMUS_CONFIG_VALUE)',
  ],
  [
    'mtu: auto',
    'metrics: {listen: 9586, «pages: true}',
    'gateway.metrics.pages: unknown key "pages" (did you mean "page"?); wanted listen, page, token, hosts (ISTHMUS_CONFIG_UNKNOWN_KEY)',
  ],
  [
    'mtu: auto',
    'metrics: {listen: 9586, page: true, hosts: [a.example, «"b.example:80"]}',
    'gateway.metrics.hosts[1]: is "b.example:80"; wanted the name of a host such as gateway.example.com (ISTHMUS_CONFIG_VALUE)',
  ],
  [
    'mtu: auto',
    'metrics: {listen: 9586, «hosts: a.example}',
    'gateway.metrics.hosts: hosts is for the status page; wanted page: true (ISTHMUS_CONFIG_VALUE)',
  ],
  [
    'mtu: auto',
    'metrics: {listen: 9586, page: false, «token: {env: PSK}}',
    'gateway.metrics.token: token is for the status page; wanted page: true (ISTHMUS_CONFIG_VALUE)',
  ],
  [
    'mtu: auto',
    'metrics: {listen: 9586, page: true, token: «{env: NOT_A_PSK}}',
    'gateway.metrics.token: not a token; wanted at least 16 letters, digits and signs, as isthmus genkey prints (ISTHMUS_SECRET_FORMAT)',
  ],
  [
    'mtu: auto',
    'metrics: {listen: "192.0.2.1:9586", page: true, «token: {env: PSK}}',
    'gateway.metrics.token: the token would cross the network unencrypted to 192.0.2.1; wanted a loopback address such as 127.0.0.1, reached through SSH or a proxy with TLS (ISTHMUS_CONFIG_VALUE)',
  ],
  [
    'ports: 443',
    'ports: [443, «70000]',
    'acls.web[0].ports[1]: port 70000 is out of range; wanted 1 to 65535 (ISTHMUS_CONFIG_PORT)',
  ],
  ['ports: 443', 'ports: «443-80', 'acls.web[0].ports: ports 443-80 run backward; wanted 80-443 (ISTHMUS_CONFIG_PORT)'],
  [
    '[192.168.0.0/16]',
    '[«172.31.4.0/24]',
    'peerings[0].subnets[0]: 172.31.4.0/24 overlaps 172.31.0.0/16 at gateway.subnets[0] (line 7); wanted each address on one side only (ISTHMUS_CONFIG_OVERLAP)',
  ],
  [
    '[192.0.2.0/24]',
    '[192.0.2.0/24, «192.0.0.0/8]',
    'peerings[1].subnets[1]: 192.0.0.0/8 overlaps 192.168.0.0/16 at peerings[0].subnets[0] (line 16); wanted each address on one side only (ISTHMUS_CONFIG_OVERLAP)',
  ],
  [
    '[192.0.2.0/24]',
    '[«10.8.0.0/24]',
    'peerings[1].subnets[0]: 10.8.0.0/24 overlaps 10.8.0.1/32 at gateway.address (line 4); wanted each address on one side only (ISTHMUS_CONFIG_OVERLAP)',
  ],
  [
    'psk: {env: PSK}',
    'psk: «{env: SHORT}',
    'peerings[0].psk: the PSK holds 128 bits; wanted at least 256: 64 hex digits or 44 characters of base64, as isthmus genpsk prints (ISTHMUS_SECRET_SHORT)',
  ],
  [
    'psk: {env: PSK}',
    'psk: «{env: NOT_A_PSK}',
    'peerings[0].psk: the PSK is neither hex nor base64; isthmus genpsk prints a good one (ISTHMUS_SECRET_FORMAT)',
  ],
  [
    'psk: {env: PSK}',
    'psk: «{env: NO_SUCH}',
    'peerings[0].psk: the environment variable "NO_SUCH" is not set (ISTHMUS_SECRET_ENVIRONMENT)',
  ],
  [
    'psk: {env: PSK}',
    'psk: «{env: EMPTY}',
    'peerings[0].psk: the environment variable "EMPTY" is not set (ISTHMUS_SECRET_ENVIRONMENT)',
  ],
  [
    'psk: {env: PSK}',
    'psk: «{file: beijing.psk}',
    'peerings[0].psk: /nowhere/beijing.psk does not exist (ISTHMUS_SECRET_UNREADABLE)',
  ],
  [
    'psk: {env: PSK}',
    'psk: «12345678901234567890',
    'peerings[0].psk: is no secret; wanted the text itself (in quotes if it is all digits), {file: PATH} or {env: NAME} (ISTHMUS_CONFIG_VALUE)',
  ],
  [
    '{env: OTHER_PSK}',
    '«{env: PSK}',
    'peerings[1].psk: the PSK is that of peerings[0].psk (line 13); wanted one of its own for each peering (ISTHMUS_SECRET_SHARED)',
  ],
  [
    'psk: {env: PSK}',
    'psk: {env: PSK}\n    next: «{env: PSK}',
    'peerings[0].next: the PSK is that of peerings[0].psk (line 13); wanted one of its own for each peering (ISTHMUS_SECRET_SHARED)',
  ],
  [
    'psk: {env: PSK}',
    'psk: {env: PSK}\n    next: «{env: SHORT}',
    'peerings[0].next: the PSK holds 128 bits; wanted at least 256: 64 hex digits or 44 characters of base64, as isthmus genpsk prints (ISTHMUS_SECRET_SHORT)',
  ],
  [
    '  name: ningxia\n',
    '  name: ningxia\n  log_level: «loud\n',
    'gateway.log_level: is "loud"; wanted debug or info or warn or error (ISTHMUS_CONFIG_VALUE)',
  ],
  [
    '  - name: beijing\n    role: server\n',
    '  - «name: beijing\n',
    'peerings[0].role: is missing; wanted server here and client at the peer, or the reverse (ISTHMUS_CONFIG_MISSING)',
  ],
  ['role: server', 'role: «master', 'peerings[0].role: is "master"; wanted server or client (ISTHMUS_CONFIG_VALUE)'],
  [
    '  - name: beijing\n    role: server\n    psk: {env: PSK}\n',
    '  - «name: beijing\n    role: server\n',
    'peerings[0]: the peering has no keys; wanted psk, or public_key (ISTHMUS_CONFIG_KEYS)',
  ],
  [
    'psk: {env: PSK}',
    `psk: {env: PSK}\n    «public_key: ${KEY}`,
    'peerings[0].public_key: public_key beside psk; wanted one of the two (ISTHMUS_CONFIG_KEYS)',
  ],
  [
    '    role: server\n    psk: {env: PSK}',
    `    «public_key: ${KEY}`,
    'peerings[0].public_key: public_key needs a private key of our own; wanted gateway.private_key (ISTHMUS_CONFIG_KEYS)',
  ],
  [
    'acl: web\n  - name: tokyo',
    'acl: «wbe\n  - name: tokyo',
    'peerings[0].acl: "wbe" is not among acls (did you mean "web"?); wanted one of web (ISTHMUS_CONFIG_UNKNOWN_ACL)',
  ],
  [
    'name: tokyo',
    'name: «beijing',
    'peerings[1].name: the name "beijing" is that of peerings[0] (line 11); wanted a name once among peerings (ISTHMUS_CONFIG_DUPLICATE)',
  ],
  [
    'name: ping',
    'name: «web',
    'acls.web[1].name: the name "web" is that of acls.web[0] (line 26); wanted a name once among the rules of acls.web (ISTHMUS_CONFIG_DUPLICATE)',
  ],
  ['  mtu: auto', '  «listen: 51821', 'the key stands here a second time (ISTHMUS_CONFIG_DUPLICATE)'],
  [
    'rekey: 120s',
    'rekey: «120',
    'gateway.rekey: duration 120 has no unit; wanted 120s, 5s to 2m (ISTHMUS_CONFIG_DURATION)',
  ],
  [
    'rekey: 120s',
    'rekey: «120 sec',
    'gateway.rekey: "120 sec" is no duration; wanted a number with ms, s, m or h, 5s to 2m (ISTHMUS_CONFIG_DURATION)',
  ],
  [
    'rekey: 120s',
    'tcp_established_timeout: «59s',
    'gateway.tcp_established_timeout: duration "59s" is out of range; wanted 1m to 120h (ISTHMUS_CONFIG_DURATION)',
  ],
  [
    'rekey: 120s',
    'tcp_established_timeout: «121h',
    'gateway.tcp_established_timeout: duration "121h" is out of range; wanted 1m to 120h (ISTHMUS_CONFIG_DURATION)',
  ],
  [
    'rekey: 120s',
    'rekey: «3m',
    'gateway.rekey: duration "3m" is out of range; wanted 5s to 2m (ISTHMUS_CONFIG_DURATION)',
  ],
  [
    'cipher: auto',
    'cipher: «aes-256-cbc',
    'peerings[0].cipher: unknown cipher "aes-256-cbc" (did you mean "aes-256-gcm"?); wanted auto, aes-256-gcm, chacha20-poly1305 (ISTHMUS_CONFIG_CIPHER)',
  ],
  [
    'interface: ist0',
    'interface: «isthmus-to-beijing',
    'gateway.interface: interface "isthmus-to-beijing" has 18 bytes; wanted at most 15 (ISTHMUS_CONFIG_INTERFACE)',
  ],
  [
    'interface: ist0',
    'interface: «上海上海上海',
    'gateway.interface: interface "上海上海上海" has 18 bytes; wanted at most 15 (ISTHMUS_CONFIG_INTERFACE)',
  ],
  [
    'interface: ist0',
    'interface: «ist/0',
    'gateway.interface: interface "ist/0" is no interface name; wanted letters, digits and "_", "=", "+", ".", "-" (ISTHMUS_CONFIG_INTERFACE)',
  ],
  [
    '203.0.113.7:51820',
    '«2001:db8::7',
    'peerings[0].endpoint: "2001:db8::7" is no endpoint; an IPv6 address stands in brackets, as [2001:db8::7]:51820; wanted host:port such as 203.0.113.7:51820, [2001:db8::7]:51820 or vpn.example.com:51820 (ISTHMUS_CONFIG_ENDPOINT)',
  ],
  [
    '203.0.113.7:51820',
    '«203.0.113.700:51820',
    'peerings[0].endpoint: "203.0.113.700:51820" holds neither an address nor a host name; wanted host:port such as 203.0.113.7:51820, [2001:db8::7]:51820 or vpn.example.com:51820 (ISTHMUS_CONFIG_ENDPOINT)',
  ],
  [
    '203.0.113.7:51820',
    '«203.0.113.7:99999',
    'peerings[0].endpoint: port 99999 is out of range; wanted 1 to 65535 (ISTHMUS_CONFIG_PORT)',
  ],
  [
    'listen: 51820',
    'listen: «eth0:51820',
    'gateway.listen: "eth0:51820" names the host "eth0"; wanted a port such as 51820, or address:port such as 198.51.100.1:51820 (ISTHMUS_CONFIG_ENDPOINT)',
  ],
  [
    'protocol: tcp, destination: 172.31.1.0/24, ports',
    'protocol: gre, «ports',
    'acls.web[0].ports: ports with protocol "gre"; wanted protocol tcp, udp, sctp, dccp, udplite, or no ports (ISTHMUS_CONFIG_RULE)',
  ],
  [
    'protocol: tcp, destination: 172.31.1.0/24, ports',
    '«ports',
    'acls.web[0].ports: ports with protocol all, as none is given; wanted protocol tcp, udp, sctp, dccp, udplite, or no ports (ISTHMUS_CONFIG_RULE)',
  ],
  [
    'protocol: icmp, icmp',
    'protocol: 17, «icmp',
    'acls.web[1].icmp: icmp with protocol 17; wanted protocol icmp, icmpv6, or no icmp (ISTHMUS_CONFIG_RULE)',
  ],
  [
    'action: allow, direction: in',
    'action: deny, «rate: 5mbit, direction: in',
    'acls.web[0].rate: rate with action deny; wanted action allow, or no rate (ISTHMUS_CONFIG_RULE)',
  ],
  [
    'action: allow, direction: in',
    'action: deny, «per_flow: 5mbit, direction: in',
    'acls.web[0].per_flow: per_flow with action deny; wanted action allow, or no per_flow (ISTHMUS_CONFIG_RULE)',
  ],
  [
    'action: allow, direction: in',
    'action: allow, per_flow: «5, direction: in',
    'acls.web[0].per_flow: 5 has no unit; wanted a rate with its unit such as 64kbit, 100mbit or 1gbit, 64kbit to 100gbit (ISTHMUS_CONFIG_RATE)',
  ],
  [
    'protocol: tcp',
    'protocol: «tpc',
    'acls.web[0].protocol: is "tpc" (did you mean "tcp"?); wanted all, icmp, igmp, ipip, tcp, udp, dccp, gre, esp, ah, icmpv6, sctp, udplite, or a number from 0 to 255 (ISTHMUS_CONFIG_VALUE)',
  ],
  [
    'action: allow, direction: in',
    'action: «permit, direction: in',
    'acls.web[0].action: is "permit"; wanted allow or deny (ISTHMUS_CONFIG_VALUE)',
  ],
  [
    'destination: 172.31.1.0/24',
    'destination: «[]',
    'acls.web[0].destination: is an empty list; wanted at least one; leave the key out for any (ISTHMUS_CONFIG_VALUE)',
  ],
  [
    'mtu: auto',
    'mtu: «1200',
    'gateway.mtu: is 1200; wanted auto or a whole number from 1280 to 65456 (ISTHMUS_CONFIG_VALUE)',
  ],
  [
    'flows: 1024',
    'flows: «lots',
    'gateway.flows: is "lots"; wanted a whole number from 1024 to 16777216 (ISTHMUS_CONFIG_VALUE)',
  ],
  [
    '  name: ningxia\n  interface',
    '  «interface',
    'gateway.name: is missing; wanted a name of up to 63 letters, digits, ".", "_" and "-" (ISTHMUS_CONFIG_MISSING)',
  ],
  [
    '    acl: web\nacls',
    '    acl: web\n    route_table: «peering\nacls',
    'peerings[1].route_table: "peering" is not among route_tables (did you mean "peerings"?); wanted one of local, peerings (ISTHMUS_CONFIG_UNKNOWN_NAME)',
  ],
  [
    '  flows: 1024',
    '  flows: 1024\n  propagate_to: [local, «shared]',
    'gateway.propagate_to[1]: "shared" is not among route_tables; wanted one of local, peerings (ISTHMUS_CONFIG_UNKNOWN_NAME)',
  ],
  [
    '  mtu: auto',
    '  mtu: auto\n  mode: «mesh',
    'gateway.mode: is "mesh"; wanted peering or hub (ISTHMUS_CONFIG_VALUE)',
  ],
  [
    'acls:\n',
    'route_tables:\n  a:\n    routes: [{destination: 10.0.0.0/8, via: «tokio}]\nacls:\n',
    'route_tables.a.routes[0].via: "tokio" is not among local, blackhole, the peerings and the bundles (did you mean "tokyo"?); wanted one of local, blackhole, beijing, tokyo (ISTHMUS_CONFIG_UNKNOWN_NAME)',
  ],
  [
    'acls:\n',
    'route_tables:\n  a:\n    routes:\n      - {destination: 10.0.0.0/8, via: tokyo}\n      - {destination: «10.0.0.0/8, via: local}\nacls:\n',
    'route_tables.a.routes[1].destination: 10.0.0.0/8 has a route at route_tables.a.routes[0].destination (line 27); wanted one for each destination (ISTHMUS_CONFIG_DUPLICATE)',
  ],
  [
    'acls:\n',
    'route_tables:\n  a:\n    routes: [{destination: «10.0.0.1/8, via: tokyo}]\nacls:\n',
    'route_tables.a.routes[0].destination: 10.0.0.1/8 has host bits set; wanted 10.0.0.0/8 (ISTHMUS_CONFIG_CIDR)',
  ],
  [
    'acls:\n',
    'route_tables:\n  a:\n    routes: [{destination: «[10.0.0.0/8], via: tokyo}]\nacls:\n',
    'route_tables.a.routes[0].destination: is a list; wanted a CIDR such as 10.0.0.0/16 (ISTHMUS_CONFIG_VALUE)',
  ],
  [
    'acls:\n',
    'route_tables:\n  «"a b": {}\nacls:\n',
    'route_tables.a b: a route table is named with up to 63 letters, digits, ".", "_" and "-" (ISTHMUS_CONFIG_VALUE)',
  ],
  [
    'acls:\n',
    'prefix_lists: {corp: [10.0.0.0/8]}\nroute_tables:\n  a:\n    routes: [{destination: {prefix_list: «crop}, via: tokyo}]\nacls:\n',
    'route_tables.a.routes[0].destination.prefix_list: "crop" is not among prefix_lists (did you mean "corp"?); wanted one of corp (ISTHMUS_CONFIG_UNKNOWN_NAME)',
  ],
  [
    'destination: 172.31.1.0/24',
    'destination: [172.31.1.0/24, {prefix_list: «corp}]',
    'acls.web[0].destination[1].prefix_list: "corp" is not among prefix_lists; and there are none (ISTHMUS_CONFIG_UNKNOWN_NAME)',
  ],
  [
    'acls:\n',
    'prefix_lists:\n  corp: [10.0.0.0/8, «10.1.0.0/8]\nacls:\n',
    'prefix_lists.corp[1]: 10.1.0.0/8 has host bits set; wanted 10.0.0.0/8 (ISTHMUS_CONFIG_CIDR)',
  ],
  [
    'acls:\n',
    'security_groups:\n  x: {ingress: [{source: 10.0.0.0/8, rate: «5mb}]}\nacls:\n',
    'security_groups.x.ingress[0].rate: is "5mb"; wanted a rate with its unit such as 64kbit, 100mbit or 1gbit, 64kbit to 100gbit (ISTHMUS_CONFIG_RATE)',
  ],
  [
    'acls:\n',
    'security_groups:\n  x: {egress: [{destination: 10.0.0.0/8, per_flow: «5}]}\nacls:\n',
    'security_groups.x.egress[0].per_flow: 5 has no unit; wanted a rate with its unit such as 64kbit, 100mbit or 1gbit, 64kbit to 100gbit (ISTHMUS_CONFIG_RATE)',
  ],
  [
    'acls:\n',
    'network_acls:\n  x: {ingress: [{rule: 100, action: allow, cidr: 10.0.0.0/8, «rate: 5mbit}]}\nacls:\n',
    'network_acls.x.ingress[0].rate: unknown key "rate"; wanted rule, action, cidr, protocol, ports, icmp (ISTHMUS_CONFIG_UNKNOWN_KEY)',
  ],
  [
    '    keepalive: 25s',
    '    learn: {accept: [10.0.0.0/8, {prefix_list: «corp}]}',
    'peerings[0].learn.accept[1].prefix_list: "corp" is not among prefix_lists; and there are none (ISTHMUS_CONFIG_UNKNOWN_NAME)',
  ],
  [
    '    keepalive: 25s',
    '    learn: {accept: «{group: corp}}',
    'peerings[0].learn.accept: is a mapping; wanted a CIDR such as 10.0.0.0/16, or {prefix_list: NAME} (ISTHMUS_CONFIG_VALUE)',
  ],
  [
    '    keepalive: 25s',
    '    learn: {accept: «[]}',
    'peerings[0].learn.accept: is an empty list; wanted at least one; leave the key out for any (ISTHMUS_CONFIG_VALUE)',
  ],
  [
    'acls:\n',
    'prefix_lists:\n  corp: [10.0.0.0/8, «10.0.0.0/8]\nacls:\n',
    'prefix_lists.corp[1]: 10.0.0.0/8 is prefix_lists.corp[0] (line 25) already; wanted each network once in a list (ISTHMUS_CONFIG_DUPLICATE)',
  ],
  [
    'acls:\n',
    'prefix_lists:\n  corp: «[]\nacls:\n',
    'prefix_lists.corp: the list holds no network; wanted at least one (ISTHMUS_CONFIG_PREFIX_LIST)',
  ],
  [
    'acls:\n',
    'prefix_lists:\n  «"a b": [10.0.0.0/8]\nacls:\n',
    'prefix_lists.a b: a prefix list is named with up to 63 letters, digits, ".", "_" and "-" (ISTHMUS_CONFIG_VALUE)',
  ],
  [
    'acls:\n',
    'prefix_lists:\n  corp: {file: «corp.txt}\nacls:\n',
    'prefix_lists.corp.file: /nowhere/corp.txt does not exist; wanted a file of one CIDR a line (ISTHMUS_CONFIG_PREFIX_LIST)',
  ],
  [
    '    acl: web\nacls',
    '    acl:«\nacls',
    'peerings[1].acl: is empty; wanted a name of up to 63 letters, digits, ".", "_" and "-" (ISTHMUS_CONFIG_VALUE)',
  ],
  [
    '    keepalive: 25s',
    '    shape: {out: «100}',
    'peerings[0].shape.out: 100 has no unit; wanted a rate with its unit such as 64kbit, 100mbit or 1gbit, 64kbit to 100gbit (ISTHMUS_CONFIG_RATE)',
  ],
  [
    '    keepalive: 25s',
    '    shape: {out: «100mbps}',
    'peerings[0].shape.out: is "100mbps"; wanted a rate with its unit such as 64kbit, 100mbit or 1gbit, 64kbit to 100gbit (ISTHMUS_CONFIG_RATE)',
  ],
  [
    '    keepalive: 25s',
    '    shape: {in: {rate: 1gbit, burst: «2gib}}',
    'peerings[0].shape.in.burst: is "2gib"; wanted a size with its unit such as 64kb or 1mb, 1500b to 1gib (ISTHMUS_CONFIG_RATE)',
  ],
  [
    '    keepalive: 25s',
    '    shape: {in: «{burst: 1mb}}',
    'peerings[0].shape.in.rate: is missing; wanted a rate with its unit such as 64kbit, 100mbit or 1gbit, 64kbit to 100gbit (ISTHMUS_CONFIG_MISSING)',
  ],
  [
    '    keepalive: 25s',
    '    shape: {«on: 1gbit}',
    'peerings[0].shape.on: unknown key "on" (did you mean "in"?); wanted out, in (ISTHMUS_CONFIG_UNKNOWN_KEY)',
  ],
  [
    '    keepalive: 25s',
    '    shape: {out: {rate: 1gbit, classes: [{name: voice, dscp: «eg}]}}',
    'peerings[0].shape.out.classes[0].dscp: is "eg"; wanted a DSCP (did you mean "ef"?): ef, va, be, le, cs0 to cs7, af11 to af43, or a number from 0 to 63 (ISTHMUS_CONFIG_VALUE)',
  ],
  [
    '    keepalive: 25s',
    '    shape: {out: {rate: 1gbit, classes: [{name: voice, dscp: ef, priority: «9}]}}',
    'peerings[0].shape.out.classes[0].priority: is 9; wanted a whole number from 1 to 8 (ISTHMUS_CONFIG_VALUE)',
  ],
  [
    '    keepalive: 25s',
    '    shape: {out: {rate: 1gbit, classes: [{name: voice, dscp: ef}, {name: video, dscp: [af41, «46]}]}}',
    'peerings[0].shape.out.classes[1].dscp[1]: 46 is taken by peerings[0].shape.out.classes[0].dscp (line 17); wanted each DSCP in one class (ISTHMUS_CONFIG_SHAPE)',
  ],
  [
    '    keepalive: 25s',
    '    shape: {out: {rate: 1gbit, classes: [{name: bulk, rules: «wep}]}}',
    'peerings[0].shape.out.classes[0].rules: "wep" is no rule of acls.web (did you mean "web"?); wanted one of web, ping (ISTHMUS_CONFIG_SHAPE)',
  ],
  [
    '    keepalive: 25s',
    '    shape: {out: {rate: 1gbit, classes: [{name: one, rules: web}, {name: two, rules: [«web]}]}}',
    'peerings[0].shape.out.classes[1].rules[0]: "web" is taken by peerings[0].shape.out.classes[0].rules (line 17); wanted each rule in one class (ISTHMUS_CONFIG_SHAPE)',
  ],
  [
    '    keepalive: 25s',
    '    shape: {out: {rate: 1gbit, classes: [{name: bulk}, «{name: other}]}}',
    'peerings[0].shape.out.classes[1]: has no dscp, and so takes the rest, as does peerings[0].shape.out.classes[0] (line 17); wanted one class at most without dscp (ISTHMUS_CONFIG_SHAPE)',
  ],
  [
    '    keepalive: 25s',
    '    shape: {out: {rate: 1gbit, classes: [{name: voice, dscp: ef}, {name: «voice}]}}',
    'peerings[0].shape.out.classes[1].name: the name "voice" is that of peerings[0].shape.out.classes[0] (line 17); wanted a name once among the classes of peerings[0].shape.out.classes (ISTHMUS_CONFIG_DUPLICATE)',
  ],
];

/** The text with the change made and without the mark, and what it has to give: `file:line:column: fault`. */
function applied(text: string, [from, to, fault]: (typeof FAULTS)[number]): { text: string; wanted: string } {
  if (!text.includes(from)) throw new Error(`not in the configuration: ${from}`);
  const marked = text.replace(from, () => to);
  const before = marked.slice(0, marked.indexOf('«')).split('\n');
  const wanted = `g.yaml:${before.length}:${before[before.length - 1].length + 1}: ${fault}`;
  return { text: marked.replace('«', ''), wanted };
}

function faultsOf(text: string): string[] {
  const result = readConfig(inMemory(text), ENVIRONMENT);
  return 'faults' in result ? result.faults.map(formatFault) : [];
}

for (const change of FAULTS) {
  test(`a fault and its place: ${JSON.stringify(change[0])} as ${JSON.stringify(change[1])}`, (t) => {
    const { text, wanted } = applied(GOOD, change);
    t.deepEqual(faultsOf(text), [wanted]);
  });
}

test('all faults of a file come in one go, in the order of the file', (t) => {
  const together = [
    '«172.31.1.0/16',
    'listen: «65536',
    'rekey: «120',
    'psk: «{env: SHORT}',
    'cipher: «aes-256-cbc',
    'role: «master',
    'protocol: «tpc',
  ];
  const faults = FAULTS.filter(([, to]) => together.includes(to));
  // None of these moves a line, and there is one on each, so each has the place that it has alone.
  const wanted = faults.map((change) => applied(GOOD, change).wanted);
  const text = faults.reduce((changing, change) => applied(changing, change).text, GOOD);
  const lineOf = (fault: string): number => Number(fault.split(':')[1]);
  t.is(wanted.length, together.length);
  t.deepEqual(
    faultsOf(text),
    wanted.sort((a, b) => lineOf(a) - lineOf(b)),
  );
});

test('where the YAML is broken, that is all that is judged', (t) => {
  t.deepEqual(faultsOf('gateway: [1, 2\npeerings: 5\n'), [
    'g.yaml:2:1: Flow sequence in block collection must be sufficiently indented and end with a ] (ISTHMUS_CONFIG_SYNTAX)',
  ]);
  t.deepEqual(faultsOf('gateway: {}\npeerings: *nowhere\n'), [
    'g.yaml:2:11: an alias has no anchor before it, or aliases expand without bound (ISTHMUS_CONFIG_SYNTAX)',
  ]);
  t.deepEqual(faultsOf(''), ['g.yaml:1:1: is empty; wanted a mapping (ISTHMUS_CONFIG_VALUE)']);
});

test('no fault shows a secret, wherever it was put by mistake', (t) => {
  const base64 = Buffer.from(PSK, 'hex').toString('base64');
  for (const secret of [PSK, base64]) {
    const misplaced = [
      `psk: ["${secret}"]`,
      `psk: {${secret}}`,
      `psk: {${secret}: 1}`,
      `psk: {file: "${secret}"}`,
      `psk: {env: "${secret}"}`,
      `psk: "${secret}" x`,
      `psk: |${secret}`,
      `psk: {env: PSK}\n    preshared_key: ["${secret}"]`,
      `psk: {env: PSK}\n    public_key: "${secret}"`,
      `psk: {env: PSK}\n    ${secret}: 5`,
    ];
    for (const text of misplaced) {
      const faults = faultsOf(GOOD.replace('psk: {env: PSK}', () => text));
      t.true(faults.length > 0, text);
      t.false(faults.join('\n').includes(secret.slice(0, 12)), `${text}\n${faults.join('\n')}`);
    }
    for (const place of [
      'role: server',
      'cipher: auto',
      'name: beijing',
      'interface: ist0',
      'listen: 51820',
      'flows: 1024',
    ]) {
      const key = place.slice(0, place.indexOf(':'));
      const faults = faultsOf(GOOD.replace(place, () => `${key}: "${secret}"`));
      t.true(faults.length > 0, place);
      t.false(faults.join('\n').includes(secret.slice(0, 12)), faults.join('\n'));
    }
  }
});
