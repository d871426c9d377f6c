// IP packets as they are, whatever they are: sent into an interface of a host past its own IP stack, which would refuse to
// make most of them, and those that come in by an interface. By a packet socket, which Node has not: Python has.
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Lab } from './lab.ts';
import { until, type Running } from './process.ts';

/** Packets go both ways as lines of hex, over a unix socket. What leaves by the interface is not shown. */
const PROGRAM = `
import select, socket, sys
interface, path = sys.argv[1:]
wire = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM)
wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
wire.bind((interface, 3))
door = socket.socket(socket.AF_UNIX)
door.bind(path)
door.listen(1)
print('ready', flush=True)
user, _ = door.accept()
lines = b''
while True:
    for ready in select.select([wire, user], [], [])[0]:
        if ready is wire:
            packet, origin = wire.recvfrom(65536)
            if origin[2] != socket.PACKET_OUTGOING and origin[1] in (0x0800, 0x86dd):
                user.sendall(packet.hex().encode() + b'\\n')
            continue
        data = user.recv(65536)
        if not data:
            sys.exit(0)
        *whole, lines = (lines + data).split(b'\\n')
        for line in whole:
            packet = bytes.fromhex(line.decode())
            wire.sendto(packet, (interface, 0x86dd if packet[0] >> 4 == 6 else 0x0800))
`;

export class RawInterface {
  readonly #running: Running;
  readonly #socket: Socket;
  readonly #came = new Set<string>();

  private constructor(running: Running, socket: Socket) {
    this.#running = running;
    this.#socket = socket;
    createInterface({ input: socket }).on('line', (line) => this.#came.add(lasting(Buffer.from(line, 'hex'))));
  }

  /** Opens an interface of a host; it is closed with the lab. */
  static async open(lab: Lab, host: string, name: string): Promise<RawInterface> {
    const path = join(lab.directory, `${host}-${name}.raw`);
    const running = lab.spawn(host, ['python3', '-c', PROGRAM, name, path]);
    await until('the packet socket', () => running.output().includes('ready') || !running.isRunning(), 30_000);
    const socket = connect(path);
    await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
    socket.on('error', () => undefined);
    return new RawInterface(running, socket);
  }

  /** Sends packets, in order. */
  send(...packets: readonly Uint8Array[]): void {
    if (!this.#running.isRunning()) throw new Error(`the packet socket is gone:\n${this.#running.tail()}`);
    this.#socket.write(packets.map((packet) => `${Buffer.from(packet).toString('hex')}\n`).join(''));
  }

  /** Whether this packet came in, be it with fewer hops left than it had. */
  has(packet: Uint8Array): boolean {
    return this.#came.has(lasting(packet));
  }

  close(): void {
    this.#socket.destroy();
  }
}

/** A packet without what routers change: hops, and the header checksum over them. */
function lasting(packet: Uint8Array): string {
  const copy = Buffer.from(packet);
  if (copy[0] >> 4 === 6) copy[7] = 0;
  else copy[8] = copy[10] = copy[11] = 0;
  return copy.toString('hex');
}
