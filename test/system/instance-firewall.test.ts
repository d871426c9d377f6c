import test from 'ava';
import { Instance } from '../deploy/instance.ts';
import { Lab } from '../lab/lab.ts';

/** Answers on TCP ports and echoes on UDP ports until it is ended. */
const SERVER = `
import select, socket, sys
listeners = []
for word in sys.argv[1:]:
    kind, port = word.split('/')
    s = socket.socket(socket.AF_INET, socket.SOCK_STREAM if kind == 'tcp' else socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(('0.0.0.0', int(port)))
    if kind == 'tcp': s.listen()
    listeners.append((kind, s))
while True:
    for s in select.select([s for _, s in listeners], [], [])[0]:
        if s.type == socket.SOCK_STREAM: s.accept()[0].close()
        else: s.sendto(b'hello', s.recvfrom(100)[1])
`;

/** Exit code 0 if the port answers; asks a few times, as a datagram may be lost. */
const CLIENT = `
import socket, sys
kind, address, port = sys.argv[1:]
for attempt in range(3):
    try:
        s = socket.socket(socket.AF_INET, socket.SOCK_STREAM if kind == 'tcp' else socket.SOCK_DGRAM)
        s.settimeout(1)
        s.connect((address, int(port)))
        if kind == 'udp':
            s.send(b'hello')
            s.recv(100)
        sys.exit(0)
    except OSError: pass
sys.exit(1)
`;

test('an instance answers on its UDP port and, where asked to, SSH; and forwards what it is not asked itself', async (t) => {
  const lab = new Lab();
  t.teardown(() => lab.dispose());
  await lab.host('gateway', { forward: true });
  for (const [host, network] of [
    ['vpc', '10.1.0'],
    ['office', '10.2.0'],
  ]) {
    await lab.host(host);
    await lab.link(
      { host: 'gateway', name: host, addresses: [`${network}.1/24`] },
      { host, name: 'eth0', addresses: [`${network}.2/24`] },
    );
    await lab.ip(host, 'route', 'add', 'default', 'via', `${network}.1`);
  }
  const ports = ['tcp/22', 'tcp/8080', 'udp/51820', 'udp/9999'];
  for (const host of ['gateway', 'office']) lab.spawn(host, ['python3', '-c', SERVER, ...ports]);
  const answers = async (from: string, address: string): Promise<string[]> => {
    const results = await Promise.all(
      ports.map((port) => lab.run(from, ['python3', '-c', CLIENT, ...port.replace('/', ` ${address} `).split(' ')])),
    );
    return ports.filter((_, place) => results[place].code === 0);
  };
  for (const address of ['10.1.0.1', '10.2.0.2']) {
    let open: string[] = [];
    for (let attempt = 0; open.length < ports.length && attempt < 100; attempt++) open = await answers('vpc', address);
    t.deepEqual(open, ports, 'nothing is closed yet');
  }

  const instance = new Instance(t);
  instance.set({ SSH_LOCATION: '10.2.0.0/24' });
  instance.run('apply');
  await lab.must('gateway', ['nft', '--file', instance.path('root/etc/isthmus/host.nft')]);
  // All at once, as what is closed is only known by its silence.
  const [fromVpc, fromOffice, through, outward] = await Promise.all([
    answers('vpc', '10.1.0.1'),
    answers('office', '10.2.0.1'),
    answers('vpc', '10.2.0.2'),
    answers('gateway', '10.2.0.2'),
  ]);
  t.deepEqual(fromVpc, ['udp/51820']);
  t.deepEqual(fromOffice, ['tcp/22', 'udp/51820']);
  t.deepEqual(through, ports, 'what is forwarded is not touched');
  t.deepEqual(outward.slice(0, 2), ['tcp/22', 'tcp/8080'], 'connections that it opens itself work');
});
