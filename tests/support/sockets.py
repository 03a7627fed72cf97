"""Which sockets a process listens on, read from the kernel."""

import re
from pathlib import Path

LISTEN = "0A"
SOCKET = re.compile(r"socket:\[(\d+)\]")


def listening_ports(pid: int) -> set[int]:
    """Return the TCP ports (IPv4 and IPv6) that a process itself listens on."""
    inodes = _socket_inodes(pid)
    found: set[int] = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTEN and fields[9] in inodes:
                found.add(int(fields[1].rpartition(":")[2], 16))
    return found


def bound_udp_ports(pid: int) -> set[int]:
    """Return the UDP ports a process has bound."""
    inodes = _socket_inodes(pid)
    return {
        int(line.split()[1].rpartition(":")[2], 16)
        for table in ("udp", "udp6")
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
        if line.split()[9] in inodes
    }


def _socket_inodes(pid: int) -> set[str]:
    found: set[str] = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(descriptor.readlink())
        except FileNotFoundError:
            continue
        if match := SOCKET.fullmatch(target):
            found.add(match[1])
    return found
