/** The host itself: permissions, devices, clock, kernel, what other programs hold. */
import type { Context, Configured } from './context.ts';
import { fault, hint, ok, warning, type Said } from './findings.ts';

/** What is stamped later than this by a clock that was right then, in ms. */
const CLOCK_SLACK = 60_000;
/** This program was written later than that. */
const WRITTEN_AT = Date.UTC(2026, 0, 1);
/** The first kernels that cut and join UDP on a TUN, and that receive UDP in batches. */
const USO_SINCE = [6, 2];
const GRO_SINCE = [5, 0];

export function checkHost({ host, running, file }: Context): Said[] {
  const said: Said[] = [];
  const runs = running.kind === 'yes';
  if (host.netAdmin) {
    said.push(ok('privileges', 'CAP_NET_ADMIN is there'));
  } else {
    const why = 'Without it no interface can be made, and no firewall rules be seen.';
    said.push(fault('privileges', 'this user has no CAP_NET_ADMIN', why, `sudo isthmus doctor ${file}`));
  }
  if (host.hasIp) said.push(ok('iproute2', 'ip is there'));
  else {
    const why = 'The gateway sets addresses, MTU and routes by it, and most of these checks look by it.';
    said.push(fault('iproute2', 'the command ip is missing', why, 'apt-get install iproute2'));
  }
  said.push(...checkTun(host.tun, runs), checkKernel(host.kernel), checkClock(host));
  return said;
}

function checkTun(error: string, runs: boolean): Said[] {
  if (error === '') return [ok('tun-device', '/dev/net/tun opens')];
  const why = "The gateway's interface is made through it.";
  if (error === 'ENOENT' || error === 'ENODEV') {
    const fix =
      'modprobe tun\nmkdir -p /dev/net && mknod -m 666 /dev/net/tun c 10 200   # where modprobe does not make it\n' +
      'docker run --device /dev/net/tun --cap-add NET_ADMIN ...   # in a container';
    return [(runs ? warning : fault)('tun-device', '/dev/net/tun is not there', why, fix)];
  }
  const fix = 'docker run --device /dev/net/tun --cap-add NET_ADMIN ...   # in a container; else run as root';
  return [(runs ? warning : fault)('tun-device', `/dev/net/tun cannot be opened (${error})`, why, fix)];
}

function checkKernel(release: string): Said {
  const [major, minor] = release.split(/[.-]/).map(Number);
  const isBefore = ([first, second]: number[]): boolean => major < first || (major === first && minor < second);
  if (isBefore(GRO_SINCE)) {
    return hint('kernel', `Linux ${release} has no UDP_GRO`, 'Throughput is several times lower.', UPGRADE);
  }
  if (isBefore(USO_SINCE)) {
    const why = 'UDP packets go through the tunnel one by one; TCP is as fast as it can be.';
    return hint('kernel', `Linux ${release} has no UDP offload on TUNs`, why, UPGRADE);
  }
  return ok('kernel', `Linux ${release} has all offloads`);
}

const UPGRADE = 'boot a kernel of 6.2 or later; it is a matter of speed only';

function checkClock({ now, newest, synchronised }: Context['host']): Said {
  const set = 'timedatectl set-ntp true   # or: chronyc makestep';
  const why =
    'A handshake bears the time, and a peer refuses each that is not later than the last one it saw: after a restart ' +
    'with the clock set back there is no session until the old time has passed.';
  if (now < WRITTEN_AT) return fault('clock', `it is ${date(now)} by the clock of this host`, why, set);
  if (newest !== undefined && newest.at > now + CLOCK_SLACK) {
    const seen = `${newest.path} was written at ${date(newest.at)}, and it is ${date(now)} by the clock of this host`;
    return fault('clock', seen, why, set);
  }
  if (synchronised === false) return warning('clock', 'no time source corrects the clock', why, set);
  return ok('clock', `${date(now)}${synchronised ? ', synchronised' : ''}`);
}

function date(at: number): string {
  return `${new Date(at).toISOString().slice(0, 19)}Z`;
}

/** Names and ports that another program may have before the gateway starts. */
export function checkPlaces({ config, host, network, running }: Configured): Said[] {
  if (running.kind === 'yes' || running.kind === 'stuck' || running.kind === 'forbidden') return [];
  const said: Said[] = [];
  const { interface: name, listen } = config;
  const link = network.links.find((each) => each.name === name);
  const why = 'The gateway cannot start.';
  if (link === undefined) {
    said.push(ok('interface-name', `no link is named ${name}`));
  } else if (link.kind !== 'tun') {
    const seen = `${name} is the name of another link${link.kind === '' ? '' : `, of kind ${link.kind}`}`;
    const fix = `give gateway.interface another name, or: ip link delete ${name}`;
    said.push(fault('interface-name', seen, why, fix));
  } else if (link.carrier) {
    const seen = `${name} is a TUN that another program has open`;
    said.push(fault('interface-name', seen, why, `fuser -v /dev/net/tun   # shows which; stop it`));
  } else {
    said.push(ok('interface-name', `${name} is a TUN that nobody has open`));
  }
  const where = listen.address === undefined ? `UDP port ${listen.port}` : `${listen.address}, UDP port ${listen.port}`;
  if (host.port === '') {
    said.push(ok('udp-port', `${where} is free`));
  } else if (host.port === 'EADDRINUSE') {
    const by = host.portHolder === undefined ? 'another program' : host.portHolder;
    const fix = `ss -Hulnp 'sport = :${listen.port}'   # shows which; stop it, or change gateway.listen`;
    said.push(fault('udp-port', `${where} is taken by ${by}`, why, fix));
  } else if (host.port === 'EADDRNOTAVAIL') {
    const seen = `${listen.address} is no address of this host`;
    said.push(fault('udp-port', seen, why, 'ip -brief address   # shows them; change gateway.listen'));
  } else {
    said.push(fault('udp-port', `${where} cannot be used (${host.port})`, why, 'change gateway.listen'));
  }
  return said;
}

/** The file: its faults, and whether what runs is it. */
export function checkConfig({ file, config, configFaults, running }: Context): Said[] {
  if (config === undefined) {
    const why = 'A gateway cannot start with it; one that runs goes on with what it read before.';
    return configFaults.map(({ place, message, code }) => {
      const open = code === 'ISTHMUS_CONFIG_UNREADABLE' ? `ls -l ${file}` : `edit ${place}`;
      return fault('config', `${message} (${code})`, why, /chmod 600 \S+/.exec(message)?.[0] ?? open);
    });
  }
  const good = ok('config', `${file} has no fault`);
  if (running.kind !== 'yes') return [good];
  const { changes, status } = running;
  if (typeof changes === 'string') {
    const why = 'It does not hear of changes in the file.';
    return [good, warning('config-changed', `a reload would be refused: ${changes}`, why, 'isthmus check FILE')];
  }
  if (changes.length === 0) return [good, ok('config-changed', 'the gateway runs by the file as it is')];
  const refused = changes.filter((change) => change.refused);
  const some = (refused.length > 0 ? refused : changes).slice(0, 3).map(({ path }) => path);
  const seen = `the file has ${changes.length} ${changes.length === 1 ? 'change' : 'changes'} that the gateway has not taken up: ${some.join(', ')}`;
  const fix =
    refused.length > 0
      ? `systemctl restart isthmus@NAME   # NAME.yaml is its file; or stop and start it: ${some.join(', ')} can't change while it runs`
      : `isthmus reload ${status.interface}   # --dry-run says what it changes`;
  return [good, warning('config-changed', seen, 'What was meant to hold by now does not.', fix)];
}

/** Whether the gateway runs, and answers. */
export function checkProcess({ file, running, config }: Context): Said[] {
  switch (running.kind) {
    case 'yes':
      return [ok('gateway-process', `it has run for ${running.status.uptime_s} s`)];
    case 'no': {
      if (config === undefined) return [];
      return [hint('gateway-process', 'no gateway of this file runs', 'No packet passes.', `isthmus up ${file}`)];
    }
    case 'stale': {
      const why = 'It ended without cleaning up, so it was killed or the host went down. The next start removes it.';
      const fix = `isthmus up ${file}   # journalctl -u 'isthmus@*' says how it ended`;
      return [fault('gateway-process', `${running.path} is there, and no gateway behind it`, why, fix)];
    }
    case 'forbidden': {
      const why = 'What the gateway knows is missing here.';
      return [fault('gateway-process', `${running.path} is not for this user`, why, `sudo isthmus doctor ${file}`)];
    }
    case 'stuck': {
      const seen = `the gateway takes calls at ${running.path} and answers none`;
      const why = 'Its main thread stands still: stopped by a signal or a debugger, or a fault of the program.';
      const fix =
        'ps -o pid,stat,wchan:20,args -C node   # state T: kill -CONT PID; else kill -ABRT PID and start it again';
      return [fault('gateway-process', seen, why, fix)];
    }
  }
}
