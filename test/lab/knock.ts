// A connection that is begun and left at once: one SYN leaves the host, whatever becomes of it.
import type { Lab } from './lab.ts';

/** The kernel has sent it when connect_ex returns. Python, as Node has no such call. */
const PROGRAM = `
import socket, sys
s = socket.socket()
s.setblocking(False)
s.connect_ex((sys.argv[1], int(sys.argv[2])))
`;

export async function knock(lab: Lab, host: string, address: string, port: number): Promise<void> {
  await lab.must(host, ['python3', '-c', PROGRAM, address, String(port)]);
}
