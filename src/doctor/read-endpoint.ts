/** Finds out about the way to a peer's endpoint: its address, whether its port is refused, whether full datagrams get there. */
import { createSocket } from 'node:dgram';
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import type { RemoteHost } from '../gateway/config.ts';
import { look } from './command.ts';
import type { EndpointState } from './context.ts';

/** How long a host may take to refuse, in ms. */
const PATIENCE = 1000;
/** Bytes of IP and ICMP headers of an echo request. */
const ECHO_HEADERS = { 4: 28, 6: 48 } as const;
const SMALL = 16;

/** The address of an endpoint, by its name if it has one. */
export async function resolve({ host, port }: RemoteHost): Promise<EndpointState> {
  const address = isIP(host) !== 0 ? host : (await lookup(host).catch(() => undefined))?.address;
  return { host, port, address, refused: undefined, answersSmall: undefined, answersFull: undefined };
}

/**
 * Asks the peer's host. `isQuiet`: there is no session, so that one empty datagram, which no gateway answers, shows whether
 * anybody listens. `size`: bytes of a full datagram with its IP header.
 */
export async function probe(endpoint: EndpointState, isQuiet: boolean, size: number): Promise<EndpointState> {
  const { address, port } = endpoint;
  if (address === undefined) return endpoint;
  const family = isIP(address) === 6 ? 6 : 4;
  const [refused, answersSmall, answersFull] = await Promise.all([
    isQuiet ? isRefused(address, port) : undefined,
    isAnswered(address, SMALL),
    isAnswered(address, size - ECHO_HEADERS[family]),
  ]);
  return { ...endpoint, refused, answersSmall, answersFull };
}

/** The host says by ICMP that no program has the port. */
function isRefused(address: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createSocket(isIP(address) === 6 ? 'udp6' : 'udp4');
    let timer: NodeJS.Timeout | undefined = undefined;
    const finish = (answer: boolean): void => {
      clearTimeout(timer);
      socket.close();
      resolve(answer);
    };
    socket.once('error', (error: NodeJS.ErrnoException) => finish(error.code === 'ECONNREFUSED'));
    socket.connect(port, address, () => {
      socket.send('', () => undefined);
      timer = setTimeout(() => finish(false), PATIENCE);
    });
  });
}

/** Whether an echo request with so many bytes of data, not to be cut, is answered; undefined if it can't be sent. */
async function isAnswered(address: string, size: number): Promise<boolean | undefined> {
  const { found, code } = await look(
    'ping',
    '-M',
    'do',
    '-c',
    '2',
    '-i',
    '0.3',
    '-W',
    '1',
    '-s',
    String(size),
    address,
  );
  return found && code >= 0 ? code === 0 : undefined;
}
