"""A state disk that is full or read-only when a consumer starts: it waits, and begins by itself."""

import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from consumer.core.ledger_url import LedgerURL
from consumer.ledger.probe import probe
from consumer.ledger.sqlite import SqliteStore
from consumer.ops.own_file import OwnFile
from tests.ledger.stores import wanted
from tests.support.broker import VirtualHost
from tests.support.consumer_process import ConsumerProcess, consuming, wait_until
from tests.support.smtp_server import smtp_server
from tests.support.smtp_sink import free_port

EMAIL = b"""{"email_to": "ada@example.org", "email_from": "app@example.org",
"subject": "Hello", "message": {"text": "Hello"}}"""

Change = Callable[[Path], None]


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def fill(disk: Path) -> None:
    with (disk / "rest").open("wb") as rest:
        while free := shutil.disk_usage(disk).free:
            # Whoever writes there may be faster.
            with suppress(OSError):
                os.posix_fallocate(rest.fileno(), os.fstat(rest.fileno()).st_size, free)


def make_room(disk: Path) -> None:
    (disk / "rest").unlink()


def protect(disk: Path) -> None:
    mount("-o", "remount,ro", str(disk))


def unprotect(disk: Path) -> None:
    mount("-o", "remount,rw", str(disk))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    mount("-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place))
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


@contextmanager
def started(vhost: VirtualHost, disk: Path, **settings: object) -> Iterator[ConsumerProcess]:
    relay = f"smtp://127.0.0.1:{free_port()}?tls=none&rate=1"
    process = ConsumerProcess(vhost.url, relay, state_dir=disk, **settings)
    try:
        wait_until(lambda: process.events("ledger in trouble") or not process.is_alive)
        yield process
    finally:
        process.kill()


@pytest.mark.parametrize(
    ("hinder", "help_", "said"),
    [
        (fill, make_room, "No space left on device"),
        (protect, unprotect, "Read-only file system"),
    ],
)
def test_it_begins_once_the_disk_can_be_written(
    vhost: VirtualHost, disk: Path, hinder: Change, help_: Change, said: str
) -> None:
    hinder(disk)
    with started(vhost, disk) as process:
        (told,) = process.events("ledger in trouble")
        assert told["detail"] == f"{disk}: {said}"
        assert not any(path.is_dir() for path in disk.glob("*/.*")), "what was begun is removed"

        help_(disk)

        wait_until(lambda: process.events("consuming"), what="its work")
        assert (
            len(process.events("ledger in trouble")) == len(process.events("ledger is back")) == 1
        )
        assert process.terminate() == 0


def figure(file: Path, name: str) -> float:
    """Return a worker's figure that has no label of its own; -1 where it is not there."""
    text = file.read_text() if file.exists() else ""
    found = re.search(rf"^{name}{{[^,}}]*}} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else -1


def test_while_it_waits_its_figures_show_a_live_worker_with_its_ledger_in_trouble(
    vhost: VirtualHost, disk: Path, tmp_path: Path
) -> None:
    vhost.declare_topology()
    file = tmp_path / f"hopmail-{socket.gethostname()}-0.prom"
    trouble, heartbeat = "hopmail_ledger_in_trouble", "hopmail_heartbeat_timestamp_seconds"
    sample = "hopmail_queue_sample_timestamp_seconds"
    protect(disk)
    with started(vhost, disk, metrics_dir=tmp_path) as process:
        wait_until(lambda: figure(file, trouble) == 1, what="the trouble")
        first = figure(file, heartbeat)
        wait_until(lambda: figure(file, heartbeat) > first > 0, 30, "another turn of its wait")
        wait_until(lambda: figure(file, sample) > 0, 30, "a look at the queues")

        unprotect(disk)

        wait_until(lambda: process.events("consuming"), what="its work")
        wait_until(lambda: figure(file, trouble) == 0, 30, "the end of the trouble")
        wait_until(lambda: figure(file, "hopmail_ledger_bytes") > 0, 30, "every other figure")
        assert process.terminate() == 0
    assert not file.exists()


@pytest.mark.timeout(120)
def test_on_a_disk_that_fills_its_figures_still_show_a_live_worker_with_its_ledger_in_trouble(
    vhost: VirtualHost, disk: Path
) -> None:
    file = disk / "metrics" / f"hopmail-{socket.gethostname()}-0.prom"
    trouble, heartbeat = "hopmail_ledger_in_trouble", "hopmail_heartbeat_timestamp_seconds"
    with smtp_server() as relay, consuming(vhost.url, relay.url, state_dir=disk) as process:
        wait_until(lambda: figure(file, "hopmail_ledger_bytes") > 0, 30, "every figure")

        fill(disk)
        vhost.publish_raw(EMAIL)

        wait_until(lambda: process.events("ledger in trouble"), what="the trouble")
        wait_until(lambda: figure(file, trouble) == 1, what="its figure")
        first = figure(file, heartbeat)
        wait_until(lambda: figure(file, heartbeat) > first, what="its heartbeat")
        assert not process.events("metrics not written")

        make_room(disk)

        wait_until(lambda: relay.mails, 30, what="the mail")
        wait_until(lambda: figure(file, trouble) == 0, what="the end of the trouble")
        assert process.terminate() == 0


PAGE = b"x 1\n" * 3000


@pytest.fixture
def own(disk: Path) -> Iterator[OwnFile]:
    """A file that holds a page, on a disk that is full."""
    file = OwnFile(disk / "a.prom")
    file.write(PAGE)
    fill(disk)
    yield file
    file.remove()


def test_on_a_full_disk_a_page_takes_the_place_of_the_one_before(disk: Path, own: OwnFile) -> None:
    for page in (PAGE + b"y 10\n" * 200, b"z 1\n", PAGE.replace(b"1", b"2")):
        own.write(page)

        text = (disk / "a.prom").read_bytes()
        assert text.startswith(page)
        assert not text[len(page) :].strip()
        assert text.endswith(b"\n")
        assert not list(disk.glob("*.tmp"))


def test_on_a_full_disk_a_page_that_has_no_room_leaves_the_one_before_whole(
    disk: Path, own: OwnFile
) -> None:
    before = (disk / "a.prom").read_bytes()
    another = OwnFile(disk / "b.prom")

    with pytest.raises(OSError, match="No space left on device"):
        own.write(PAGE * 2)
    with pytest.raises(OSError, match="No space left on device"):
        another.write(PAGE)
    another.remove()

    assert (disk / "a.prom").read_bytes() == before
    assert {path.suffix for path in disk.iterdir()} <= {".prom", ".lock", ""}


def test_figures_of_a_wait_that_is_ended_go(vhost: VirtualHost, disk: Path, tmp_path: Path) -> None:
    protect(disk)

    with started(vhost, disk, metrics_dir=tmp_path) as process:
        wait_until(lambda: list(tmp_path.glob("*.prom")), what="its file")
        assert process.terminate(10) == 0

    assert not list(tmp_path.glob("*.prom"))


def test_sigterm_ends_the_wait(vhost: VirtualHost, disk: Path) -> None:
    protect(disk)

    with started(vhost, disk) as process:
        assert process.terminate(10) == 0
        assert not process.events("consuming")


def test_no_thread_of_a_process_that_waits_dies_of_sigterm(
    vhost: VirtualHost, disk: Path, tmp_path: Path
) -> None:
    protect(disk)

    with started(vhost, disk, metrics_dir=tmp_path) as process:
        wait_until(lambda: list(tmp_path.glob("*.prom")), what="its file")
        threads = Path(f"/proc/{process.pid}/task").glob("*/status")
        blocked = [
            re.search(r"^SigBlk:\s+(\w+)$", path.read_text(), re.MULTILINE) for path in threads
        ]
        masks = [int(found[1], 16) for found in blocked if found]

    assert len(masks) > 1
    taking = [mask for mask in masks if not mask & 1 << signal.SIGTERM - 1]
    assert len(taking) <= 1, "the main one, while it waits for it"


def test_a_supervisor_that_is_gone_ends_the_wait(
    vhost: VirtualHost, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    protect(disk)
    monkeypatch.setenv("SUPERVISE_PID", str(os.getppid()))

    with started(vhost, disk) as process:
        wait_until(lambda: not process.is_alive, what="its end")
        assert not process.events("consuming")


def test_a_rate_that_cannot_be_counted_yet_holds_the_mail(vhost: VirtualHost, disk: Path) -> None:
    protect(disk)
    with (
        smtp_server() as relay,
        consuming(
            vhost.url, relay.url_with(rate=100), state_dir=disk, ledger_url="none"
        ) as process,
    ):
        vhost.publish_raw(EMAIL)
        wait_until(lambda: process.events("rate not kept"), what="its trouble")
        assert relay.mails == []

        unprotect(disk)

        wait_until(lambda: relay.mails, what="the mail")
        assert process.terminate() == 0


def test_a_check_finds_a_full_disk_under_a_ledger_in_use(disk: Path) -> None:
    store = SqliteStore(disk / "ledger.sqlite3", "me")
    store.apply([wanted("a")], [])
    fill(disk)

    (found,) = probe(LedgerURL.parse(f"sqlite://{disk}/ledger.sqlite3"), disk)

    store.close()
    assert not found.good
    assert "No space left on device" in found.text
