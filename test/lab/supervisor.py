# What systemd is to a service of Type=notify, as far as tests look at it: sd_notify(3) with WatchdogSec= and
# FileDescriptorStoreMax=. Node has no datagram sockets of this family, and can't pass descriptors on.
#
#   supervisor.py SOCKET WATCHDOG-SECONDS PROGRAM [ARGUMENT]...
#
# Prints each message as `notify {"at": seconds, "text": ..., "descriptors": number}`; the program's output goes the same
# way. SIGUSR2 restarts the program; SIGTERM ends it, and this.
import array
import fcntl
import json
import os
import signal
import socket
import sys
import time

path, watchdog, program = sys.argv[1], float(sys.argv[2]), sys.argv[3:]
listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
listener.bind("\0" + path[1:] if path[0] == "@" else path)
if path[0] != "@":
    os.chmod(path, 0o777)
kept = []  # (name, descriptor)


def start():
    pid = os.fork()
    if pid:
        return pid
    # SIGUSR2 is meant for this program only.
    os.setsid()
    environment = dict(os.environ, NOTIFY_SOCKET=path, WATCHDOG_USEC=str(int(watchdog * 1e6)), WATCHDOG_PID=str(os.getpid()))
    if kept:
        # Out of the way first, as one that is still wanted may have one of the numbers.
        copies = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, 100) for _, descriptor in kept]
        for number, descriptor in enumerate(copies):
            os.dup2(descriptor, 3 + number)
        environment.update(
            LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(kept)), LISTEN_FDNAMES=":".join(name for name, _ in kept)
        )
        os.closerange(3 + len(kept), 200)
    os.execvpe(program[0], program, environment)


def handle(data, descriptors):
    text = data.decode()
    fields = dict(line.split("=", 1) for line in text.splitlines())
    if fields.get("FDSTORE") == "1":
        kept.extend((fields["FDNAME"], each) for each in descriptors)
    if fields.get("FDSTOREREMOVE") == "1":
        for pair in [each for each in kept if each[0] == fields["FDNAME"]]:
            os.close(pair[1])
            kept.remove(pair)
    print("notify", json.dumps({"at": time.monotonic(), "text": text, "descriptors": len(descriptors)}), flush=True)


asked = []
for number in (signal.SIGUSR2, signal.SIGTERM):
    signal.signal(number, lambda given, _: asked.append(given))
child, told = start(), False
listener.settimeout(0.05)
while True:
    try:
        data, control, _, _ = listener.recvmsg(4096, socket.CMSG_SPACE(4 * 8))
        descriptors = array.array("i")
        for _, kind, content in control:
            if kind == socket.SCM_RIGHTS:
                descriptors.frombytes(content[: len(content) - len(content) % 4])
        handle(data, descriptors)
    except socket.timeout:
        pass
    if os.waitpid(child, os.WNOHANG)[0]:
        if signal.SIGUSR2 not in asked:
            sys.exit(0)
        asked.remove(signal.SIGUSR2)
        print("restarting", flush=True)
        child, told = start(), False
    elif asked and not told:
        told = True
        os.kill(child, signal.SIGTERM)
