import { createServer, type Server, type Socket } from 'node:net';
import type { ConfigurableDevice, DeviceState } from '../gateway/device-state.ts';
import type { Log } from '../gateway/tunnel.ts';
import { formatEndpoint, formatPrefix } from '../gateway/text.ts';
import { SetRequest, UAPI_ERRNO, UapiError } from './uapi-request.ts';

/** The longest line of a request, in bytes, without its line feed; wireguard-go's. */
const LINE_LIMIT = 65535;

/**
 * A server, not listening yet, of the cross-platform userspace API (https://www.wireguard.com/xplatform/): on each
 * connection any number of `get=1` and `set=1` requests, answered as wireguard-go answers them. Requests of different
 * connections are served one at a time.
 */
export function uapiServer(device: ConfigurableDevice, log: Log): Server {
  let last: Promise<unknown> = Promise.resolve();
  const inTurn: InTurn = (serve) => {
    const served = last.then(serve);
    last = served.catch(() => undefined);
    return served;
  };
  return createServer({ allowHalfOpen: true }, (socket) => {
    // Whoever reads or writes is told; an error between the two ends the conversation just as well.
    socket.on('error', () => undefined);
    converse(socket, device, log, inTurn)
      .catch((error: unknown) => log.debug(`UAPI: ${String(error)}`))
      .finally(() => socket.destroy());
  });
}

/** Runs `serve` after all that was asked for before has been served. */
type InTurn = <T>(serve: () => T | Promise<T>) => Promise<T>;

/** Serves one connection until its other side has ended, or has sent what is no request. Throws when the connection breaks. */
async function converse(socket: Socket, device: ConfigurableDevice, log: Log, inTurn: InTurn): Promise<void> {
  let reading: 'operation' | 'get' | 'set' | 'refused' = 'operation';
  let request = new SetRequest();

  const refuse = (error: unknown): Promise<void> => {
    log.error(`UAPI: ${error instanceof Error ? error.message : String(error)}`);
    return send(socket, `errno=${errnoOf(error)}\n\n`);
  };
  const configure = async (): Promise<void> => {
    try {
      await inTurn(() => device.configure(request.change));
    } catch (error) {
      return refuse(error);
    }
    log.debug('UAPI: configured');
    return send(socket, 'errno=0\n\n');
  };

  for await (const lines of linesOf(socket)) {
    for (const line of lines) {
      if (line.length > LINE_LIMIT) return refuse(new UapiError(UAPI_ERRNO.io, 'a line of the request is too long'));
      switch (reading) {
        case 'operation':
          if (line === 'get=1') reading = 'get';
          else if (line === 'set=1') {
            reading = 'set';
            request = new SetRequest();
          } else {
            log.error('UAPI: neither get=1 nor set=1');
            return;
          }
          break;
        case 'get':
          if (line !== '')
            return refuse(new UapiError(UAPI_ERRNO.invalid, 'get=1 is followed by more than an empty line'));
          reading = 'operation';
          await send(socket, `${await inTurn(() => formatState(device.state()))}errno=0\n\n`);
          break;
        case 'set':
          if (isBlank(line)) {
            reading = 'operation';
            await configure();
            break;
          }
          try {
            request.line(line.endsWith('\r') ? line.slice(0, -1) : line);
          } catch (error) {
            reading = 'refused';
            await refuse(error);
          }
          break;
        case 'refused':
          if (isBlank(line)) reading = 'operation';
      }
    }
  }
  // The end of the input ends a request as an empty line does.
  if (reading === 'set') await configure();
}

/**
 * The lines of a connection, as many at a time as have come in, and at the end what has no line feed. A line beyond the
 * limit is handed on as soon as it is known to be too long.
 */
async function* linesOf(socket: Socket): AsyncGenerator<string[]> {
  let rest = '';
  for await (const chunk of socket.setEncoding('latin1').iterator({ destroyOnReturn: false })) {
    const lines = (rest + (chunk as string)).split('\n');
    rest = lines.pop()!;
    yield rest.length > LINE_LIMIT ? [...lines, rest] : lines;
  }
  if (rest !== '') yield [rest];
}

/** Lines of a `set=1` request may end in a carriage return too. */
function isBlank(line: string): boolean {
  return line === '' || line === '\r';
}

/** Resolves once the text has been taken by the other side, so that one which does not read is sent no more. */
function send(socket: Socket, text: string): Promise<void> {
  return new Promise((resolve, reject) => socket.write(text, (error) => (error ? reject(error) : resolve())));
}

function errnoOf(error: unknown): number {
  const errno = error instanceof Error ? Number((error as NodeJS.ErrnoException).errno) : 0;
  return errno ? -Math.abs(errno) : UAPI_ERRNO.unknown;
}

function formatState(state: DeviceState): string {
  const lines: string[] = [];
  const add = (key: string, value: string | number): unknown => lines.push(`${key}=${value}\n`);
  if (state.privateKey) add('private_key', hex(state.privateKey));
  if (state.listenPort !== 0) add('listen_port', state.listenPort);
  if (state.fwmark !== 0) add('fwmark', state.fwmark);
  for (const peer of state.peers) {
    add('public_key', hex(peer.publicKey));
    add('preshared_key', hex(peer.presharedKey));
    add('protocol_version', 1);
    if (peer.endpoint) add('endpoint', formatEndpoint(peer.endpoint));
    add('last_handshake_time_sec', Math.floor(peer.lastHandshakeAt / 1000));
    add('last_handshake_time_nsec', Math.floor(peer.lastHandshakeAt % 1000) * 1_000_000);
    add('tx_bytes', peer.txBytes);
    add('rx_bytes', peer.rxBytes);
    add('persistent_keepalive_interval', peer.persistentKeepalive);
    for (const prefix of peer.allowedIps) add('allowed_ip', formatPrefix(prefix));
  }
  return lines.join('');
}

function hex(key: Uint8Array): string {
  return Buffer.from(key).toString('hex');
}
