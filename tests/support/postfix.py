"""A real Postfix of the test's own, which delivers what it takes into a folder of mails."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.consumer_process import wait_until
from tests.support.smtp_sink import free_port, greets

NOBODY = 65534

# What else it would need by default is set to its own folder: nothing of the machine's is touched.
MAIN = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = relay.example
mydestination =
alias_maps =
mynetworks = 127.0.0.0/8
smtputf8_enable = yes
smtpd_forbid_unauth_pipelining = yes
smtpd_data_restrictions = reject_unauth_pipelining
smtpd_end_of_data_restrictions = reject_unauth_pipelining
virtual_mailbox_domains = example.org
virtual_mailbox_base = {folder}/mail
virtual_mailbox_maps = static:all/
virtual_uid_maps = static:{nobody}
virtual_gid_maps = static:{nobody}
"""

MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
error unix - - n - - error
virtual unix - n n - - virtual
proxymap unix - - n - - proxymap
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""


class Postfix:
    """A running Postfix that takes mail for example.org."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = free_port()
        for name in ("config", "queue", "data", "mail"):
            (folder / name).mkdir()
        subprocess.run(["chown", "postfix", str(folder / "data")], check=True)
        subprocess.run(["chown", str(NOBODY), str(folder / "mail")], check=True)
        config = folder / "config"
        (config / "main.cf").write_text(MAIN.format(folder=folder, nobody=NOBODY))
        (config / "master.cf").write_text(MASTER.format(port=self.port))
        subprocess.run(
            ["/usr/sbin/postfix", "-c", str(config), "check"], check=True, capture_output=True
        )
        self._process = subprocess.Popen(
            ["/usr/lib/postfix/sbin/master", "-c", str(config), "-d"], stderr=subprocess.DEVNULL
        )
        wait_until(lambda: greets(self.port), 20, "Postfix")

    @property
    def url(self) -> str:
        """The relay URL."""
        return f"smtp://127.0.0.1:{self.port}?tls=none"

    @property
    def log(self) -> str:
        """What it logged so far."""
        return (self._folder / "log").read_text()

    def mails(self) -> list[bytes]:
        """Return the mails that it has delivered, with the fields that it put before them."""
        delivered = self._folder / "mail" / "all" / "new"
        return [path.read_bytes() for path in sorted(delivered.glob("*"))]

    def stop(self) -> None:
        """End it, with all its processes."""
        self._process.terminate()
        self._process.wait(10)


@contextmanager
def postfix() -> Iterator[Postfix]:
    """Run Postfix for the length of a block."""
    with tempfile.TemporaryDirectory(prefix="hopmail-postfix-") as name:
        folder = Path(name)
        # Its processes, each under a login of its own, must get in.
        folder.chmod(0o755)
        running = Postfix(folder)
        try:
            yield running
        finally:
            running.stop()
