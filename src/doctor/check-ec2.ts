/** What EC2 does with the packets of an instance: the source/destination check, routes of the VPC, security groups. */
import type { Ec2Details } from '../aws/instance.ts';
import { contains, formatPrefix, overlaps, parsePrefix } from '../gateway/config.ts';
import type { Configured } from './context.ts';
import { several } from './addresses.ts';
import { fault, hint, ok, warning, type Said } from './findings.ts';

export function checkEc2(context: Configured): Said[] {
  const { ec2, config } = context;
  if (ec2 === undefined) return [];
  const { identity, details } = ec2;
  const { interfaceId, region, vpcCidrs } = identity;
  const said: Said[] = [];
  const foreign = config.subnets.filter((subnet) => !vpcCidrs.some((cidr) => overlaps(parsePrefix(cidr), subnet)));
  if (foreign.length > 0) {
    const seen = `${several(foreign.map(formatPrefix))} is not of this VPC, which has ${several(vpcCidrs)}`;
    const why = 'The peer is told of networks that this side does not have, unless they lie behind the VPC.';
    said.push(warning('vpc-subnets', seen, why, `subnets: [${vpcCidrs.join(', ')}]   # under gateway`));
  } else {
    said.push(ok('vpc-subnets', `the local subnets are in ${several(vpcCidrs)}`));
  }
  if (typeof details === 'string') {
    const show =
      `aws ec2 describe-network-interfaces --region ${region} --network-interface-ids ${interfaceId} ` +
      "--query 'NetworkInterfaces[].SourceDestCheck'   # must be false\n" +
      `aws ec2 describe-route-tables --region ${region} --filters Name=route.network-interface-id,Values=${interfaceId}`;
    const seen = `the EC2 API can't be asked: ${details}`;
    const why = 'Whether EC2 drops what this instance forwards, and whether the VPC sends it here, is not known.';
    return [...said, hint('source-dest-check', seen, why, show)];
  }
  return [...said, ...checkDetails(context, interfaceId, region, details)];
}

function checkDetails({ config }: Configured, interfaceId: string, region: string, details: Ec2Details): Said[] {
  const said: Said[] = [];
  if (details.sourceDestCheck) {
    const why = 'EC2 drops every packet that hosts of the VPC send through this instance, and what it brings them.';
    const fix = `aws ec2 modify-network-interface-attribute --region ${region} --network-interface-id ${interfaceId} --no-source-dest-check`;
    said.push(fault('source-dest-check', `it is on at ${interfaceId}`, why, fix));
  } else {
    said.push(ok('source-dest-check', `it is off at ${interfaceId}`));
  }
  said.push(...checkVpcRoutes({ config }, interfaceId, region, details));
  const { port } = config.listen;
  const isOpen = details.permissions.some(
    ({ protocol, from, to }) => protocol === '-1' || (protocol === 'udp' && from <= port && port <= to),
  );
  const called = config.peerings.find(({ endpoint }) => endpoint === undefined);
  if (isOpen) said.push(ok('vpc-security-group', `UDP port ${port} is let in`));
  else {
    const seen = `no security group of ${interfaceId} lets UDP port ${port} in`;
    const why = 'A peer cannot call. What this gateway calls itself is answered.';
    const fix =
      `aws ec2 authorize-security-group-ingress --region ${region} --group-id GROUP --protocol udp --port ${port} ` +
      '--cidr ADDRESS_OF_THE_PEER/32';
    const say = called === undefined ? hint : fault;
    said.push(say('vpc-security-group', seen, why, fix, called?.name));
  }
  return said;
}

function checkVpcRoutes(
  { config }: Pick<Configured, 'config'>,
  interfaceId: string,
  region: string,
  { routes, tables }: Ec2Details,
): Said[] {
  const said = config.peerings.flatMap(({ name, subnets }) => {
    const lacking = subnets.filter(
      (subnet) =>
        !routes.some(
          (route) =>
            route.interfaceId === interfaceId &&
            route.destination.includes('/') &&
            contains(parsePrefix(route.destination), subnet),
        ),
    );
    if (lacking.length === 0) return [];
    const seen = `no route table of the VPC leads ${several(lacking.map(formatPrefix))} to ${interfaceId}`;
    const why = "Hosts of the VPC don't find the peer.";
    const table = tables.length === 1 ? tables[0] : `ROUTE_TABLE   # one of ${several(tables)}`;
    const fix = lacking.map((subnet) => {
      const option = subnet.family === 4 ? '--destination-cidr-block' : '--destination-ipv6-cidr-block';
      return `aws ec2 create-route --region ${region} ${option} ${formatPrefix(subnet)} --network-interface-id ${interfaceId} --route-table-id ${table}`;
    });
    return [fault('vpc-routes', seen, why, fix.join('\n'), name)];
  });
  return said.length > 0 ? said : [ok('vpc-routes', `the peers' subnets lead to ${interfaceId}`)];
}
