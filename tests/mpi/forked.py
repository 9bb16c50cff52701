"""Stands for a rank of a job, as its launcher sees it: forked.py SOCKET ARGUMENTS OF PYTHON...

The rank itself is a copy of the process at the socket (tests/mpi/forkserver.py), which gets all that the launcher has
given to this one: its environment, its folder, its files. What the launcher does to this process happens to the rank,
and this process ends as the rank does.
"""

import json
import os
import resource
import signal
import socket
import sys

HELD = ("PMI_FD", "HYDI_CONTROL_FD")  # the environment gives the numbers of open files by these names


def main() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        server.connect(sys.argv[1])
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, lambda number, _: server.send(str(int(number)).encode()))
        files = [0, 1, 2, *(int(os.environ[name]) for name in HELD if name in os.environ)]
        job = {"arguments": sys.argv[2:], "environment": dict(os.environ), "folder": os.getcwd(), "files": files}
        socket.send_fds(server, [json.dumps(job).encode()], files)
        ended = int(server.recv(64) or 1)
    if ended < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.signal(-ended, signal.SIG_DFL) if -ended != signal.SIGKILL else None
        os.kill(os.getpid(), -ended)
    os._exit(ended)


main()
