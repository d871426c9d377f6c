/** All checks, over one context. */
import { checkConfig, checkHost, checkPlaces, checkProcess } from './check-host.ts';
import { checkEc2 } from './check-ec2.ts';
import { checkFirewall } from './check-firewall.ts';
import { checkAccess, checkForwarding, checkLink, checkReversePath, checkRoutes } from './check-network.ts';
import { checkEndpoints, checkPeerKinds, checkPeers } from './check-peering.ts';
import type { Context } from './context.ts';
import { arrange, type Finding } from './findings.ts';

/** Of a gateway whose file can be read. */
const CHECKS_OF_A_GATEWAY = [
  ...[checkPlaces, checkLink, checkForwarding, checkRoutes, checkReversePath, checkFirewall, checkEc2],
  ...[checkEndpoints, checkPeers, checkAccess, checkPeerKinds],
];

/** What is wrong, and what is not, causes first. */
export function examine(context: Context): Finding[] {
  const { config } = context;
  const general = [checkConfig, checkHost, checkProcess].flatMap((check) => check(context));
  if (config === undefined) return arrange(general);
  return arrange([...general, ...CHECKS_OF_A_GATEWAY.flatMap((check) => check({ ...context, config }))]);
}
