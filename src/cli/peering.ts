import { text as readAll } from 'node:stream/consumers';
import { Command } from 'commander';
import type { PeeringAnswer, PeeringsAnswer, RequestAnswer } from '../control/peering-calls.ts';
import { IsthmusError } from '../gateway/errors.ts';
import type { InvitationStatus, PeeringStatus } from '../gateway/peering-status.ts';
import { invitationIn, invitationStatus } from '../gateway/peerings.ts';
import { formatInvitation, formatPeering, formatPeerings } from '../observe/peerings-text.ts';
import { partsOf } from './arguments.ts';
import { askGateway, tellGateway } from './ask.ts';
import { printSecret } from './output.ts';

interface Common {
  readonly gateway?: string;
  readonly json?: true;
}

const NO_ACL = 'no ACL, so nothing passes yet: isthmus peering modify NAME --acl ACL';
const INVITATION = 'the invitation; left out, it is read from standard input, where no list of processes shows it';

export function command(): Command {
  const peering = new Command('peering')
    .summary('request, accept and delete peerings of a running gateway')
    .description(
      'Joins two gateways while they run. One requests, which makes an invitation: one string, to be handed to the other ' +
        'side as a secret. The other inspects it, and accepts or rejects it; the answer travels inside the tunnel. ' +
        'docs/peering.md has the whole life of a peering.',
    )
    .addHelpText(
      'after',
      '\nExamples:\n  isthmus peering request beijing --acl peers > invitation\n  isthmus peering inspect < invitation\n' +
        '  isthmus peering accept --acl peers < invitation\n  isthmus peering list\n  isthmus peering delete beijing',
    );
  peering.addCommand(
    sub('request', 'make an invitation for another gateway', 'request beijing --acl peers > invitation')
      .argument('<name>', 'what the other side is called here')
      .option(
        '--endpoint <host:port>',
        'where the other side calls this gateway (default: gateway.endpoint of the file)',
      )
      .option('--subnets <cidrs>', 'what is offered, comma-separated (default: all of gateway.subnets)', partsOf)
      .option(
        '--peer-subnets <cidrs>',
        "what the other side's networks must lie within (default: the private networks)",
        partsOf,
      )
      .option('--acl <name>', 'the ACL that judges its packets; without one nothing passes')
      .option('--cipher <cipher>', 'auto, aes-256-gcm or chacha20-poly1305')
      .addHelpText('after', '\nThe invitation is a secret. It expires after 168 h, and can be accepted once.')
      .action(request),
  );
  peering.addCommand(
    sub('inspect', 'show what an invitation holds; changes nothing', 'inspect < invitation')
      .argument('[invitation]', INVITATION)
      .action(inspect),
  );
  peering.addCommand(
    sub('accept', 'accept an invitation', 'accept --subnets 172.31.1.0/24 --acl peers < invitation')
      .argument('[invitation]', INVITATION)
      .option('--subnets <cidrs>', "which of the other side's networks, comma-separated (default: all)", partsOf)
      .option('--acl <name>', 'the ACL that judges its packets; without one nothing passes')
      .option('--name <name>', 'what the other side is called here (default: what it calls itself)')
      .action(accept),
  );
  peering.addCommand(
    sub('reject', 'reject an invitation, which tells the other side', 'reject < invitation')
      .argument('[invitation]', INVITATION)
      .action(reject),
  );
  peering.addCommand(
    sub('delete', 'delete a peering, which tells the other side', 'delete beijing')
      .argument('<name>', 'its name or id')
      .action(remove),
  );
  peering.addCommand(
    sub('modify', 'give a peering another ACL', 'modify beijing --acl web')
      .argument('<name>', 'its name or id')
      .option('--acl <name>', 'the ACL')
      .option('--no-acl', 'none: nothing passes')
      .action(modify),
  );
  peering.addCommand(
    sub('list', 'show all peerings, with their state and the health of their path', 'list --json').action(list),
  );
  peering.addCommand(sub('show', 'show one peering', 'show beijing').argument('<name>', 'its name or id').action(show));
  return peering;
}

/** What every one of them takes. */
function sub(name: string, summary: string, example: string): Command {
  return new Command(name)
    .summary(summary)
    .description(`${summary[0].toUpperCase()}${summary.slice(1)}.`)
    .option('--gateway <interface>', 'which gateway; may be left out where one runs')
    .option('--json', 'print JSON, for scripts')
    .addHelpText('after', `\nExample:\n  isthmus peering ${example}`);
}

async function request(
  name: string,
  options: Common & { endpoint?: string; subnets?: string[]; peerSubnets?: string[]; acl?: string; cipher?: string },
): Promise<void> {
  const { gateway, json, endpoint, acl, cipher, subnets, peerSubnets } = options;
  const body = { name, endpoint, acl, cipher, subnets, peer_subnets: peerSubnets };
  const answer = (await tellGateway(gateway, '/v1/peerings/request', body)) as RequestAnswer;
  const { peering, invitation } = answer;
  mustNotFail(peering);
  if (json) return printSecret(`${JSON.stringify(answer, null, 2)}\n`);
  process.stderr.write(
    `peering ${name} (${peering.id}) is ${peering.state} until ${peering.expires_at}${peering.acl === null ? `\n${NO_ACL}` : ''}\n` +
      'Hand this invitation over as a secret: whoever has it can accept it.\n',
  );
  printSecret(`${invitation}\n`);
}

async function inspect(invitation: string | undefined, { gateway, json }: Common): Promise<void> {
  const text = await given(invitation);
  const known = invitationIn(text);
  let answer = invitationStatus(known, null);
  let isCompared = true;
  try {
    answer = (await tellGateway(gateway, '/v1/peerings/inspect', { invitation: text })) as InvitationStatus;
  } catch (error) {
    if (!(error instanceof IsthmusError) || error.code !== 'ISTHMUS_NO_GATEWAY') throw error;
    isCompared = false;
  }
  process.stdout.write(json ? `${JSON.stringify(answer, null, 2)}\n` : formatInvitation(answer, isCompared));
}

async function accept(
  invitation: string | undefined,
  { gateway, json, subnets, acl, name }: Common & { subnets?: string[]; acl?: string; name?: string },
): Promise<void> {
  const body = { invitation: await given(invitation), name, acl, subnets };
  const peering = await become(gateway, 'accept', body, json);
  if (!json && peering.acl === null) process.stderr.write(`${NO_ACL}\n`);
}

async function reject(invitation: string | undefined, { gateway, json }: Common): Promise<void> {
  await become(gateway, 'reject', { invitation: await given(invitation) }, json);
}

async function remove(name: string, { gateway, json }: Common): Promise<void> {
  await become(gateway, 'delete', { name }, json);
}

async function modify(name: string, { gateway, json, acl }: Common & { acl?: string | boolean }): Promise<void> {
  if (acl === undefined || acl === true) {
    throw new IsthmusError('ISTHMUS_USAGE', 'nothing to change; wanted --acl NAME or --no-acl');
  }
  await become(gateway, 'modify', { name, acl: acl === false ? null : acl }, json);
}

async function list({ gateway, json }: Common): Promise<void> {
  const answer = (await askGateway(gateway, 'GET', '/v1/peerings')) as PeeringsAnswer;
  process.stdout.write(json ? `${JSON.stringify(answer, null, 2)}\n` : formatPeerings(answer.peerings));
}

async function show(name: string, { gateway, json }: Common): Promise<void> {
  const { peerings } = (await askGateway(gateway, 'GET', '/v1/peerings')) as PeeringsAnswer;
  const peering = peerings.findLast((each) => each.name === name || each.id === name);
  if (peering === undefined) {
    const names = peerings.map((each) => each.name).join(', ') || 'and there are none';
    throw new IsthmusError('ISTHMUS_PEERING', `there is no peering ${name}; wanted one of ${names}`);
  }
  process.stdout.write(json ? `${JSON.stringify(peering, null, 2)}\n` : formatPeering(peering));
}

/** Makes a call that changes a peering, and shows what it has become. Throws `ISTHMUS_PEERING` if that is a failure. */
async function become(
  gateway: string | undefined,
  call: string,
  body: object,
  json: true | undefined,
): Promise<PeeringStatus> {
  const answer = (await tellGateway(gateway, `/v1/peerings/${call}`, body)) as PeeringAnswer;
  const { peering } = answer;
  mustNotFail(peering);
  const { name, state, message } = peering;
  const line = `peering ${name} is ${state}${message === '' ? '' : `: ${message}`}\n`;
  process.stdout.write(json ? `${JSON.stringify(answer, null, 2)}\n` : line);
  return peering;
}

function mustNotFail({ name, state, message }: PeeringStatus): void {
  if (state === 'failed') throw new IsthmusError('ISTHMUS_PEERING', `peering ${name} has failed: ${message}`);
}

async function given(invitation: string | undefined): Promise<string> {
  return invitation === undefined || invitation === '-' ? await readAll(process.stdin) : invitation;
}
