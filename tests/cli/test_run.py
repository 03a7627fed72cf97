"""`hopmail run`: processes under supervisor, seen from outside."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from consumer.cli.run import CONFIGURATION
from consumer.core.topology import DEAD_QUEUE
from tests.cli.command import ROOT, environment, hopmail
from tests.cli.supervised import Supervised, is_running, supervised, wait_consuming
from tests.support.broker import VirtualHost
from tests.support.consumer_process import wait_until
from tests.support.smtp_sink import SmtpSink, smtp_sink
from tests.support.sockets import listening_ports

BODY = (
    b'{"email_to": "a@example.org", "email_from": "b@example.org", "subject": "s",'
    b' "message": {"text": "t"}}'
)
TRANSACTIONAL = "email.transactional.v1"


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[SmtpSink]:
    with smtp_sink(tmp_path / "sink") as found:
        yield found


def run_folders() -> set[Path]:
    """Return the folders that `hopmail run` made for supervisor and has not removed."""
    return {path.parent for path in Path(tempfile.gettempdir()).glob("hopmail-*/supervisord.pid")}


def test_as_many_workers_as_set_deliver_and_all_end_on_sigterm(
    vhost: VirtualHost, sink: SmtpSink, tmp_path: Path
) -> None:
    before = run_folders()
    settings = {"amqp_url": vhost.url, "smtp_url": sink.url, "retry_delays": "1s,2s"}

    with supervised(tmp_path / "out", **settings, processes=3, metrics_dir=tmp_path) as run:
        wait_consuming(run, 3)
        workers = run.workers()
        vhost.publish_raw(BODY)
        wait_until(lambda: sink.count() == 1, 15, "a mail")
        files = {path.name for path in tmp_path.glob("*.prom")}
        tree = run.tree()
        code = run.terminate()

        assert set(workers) == {"0", "1", "2"}
        assert files == {f"hopmail-{socket.gethostname()}-{number}.prom" for number in range(3)}
        assert code == 0
        assert not [pid for pid in tree if is_running(pid)]
        assert {line["worker"] for line in run.events("stopped")} == {0, 1, 2}
        assert not list(tmp_path.glob("*.prom"))
        assert before == run_folders()


def test_a_killed_worker_is_started_again_under_its_number(
    vhost: VirtualHost, sink: SmtpSink, tmp_path: Path
) -> None:
    with supervised(tmp_path / "out", amqp_url=vhost.url, smtp_url=sink.url, processes=2) as run:
        wait_consuming(run, 2)
        before = run.workers()

        os.kill(before["1"], signal.SIGKILL)
        wait_until(lambda: len(run.events("consuming")) == 3, 30, "a third start")
        after = run.workers()

        assert (after["0"], set(after)) == (before["0"], {"0", "1"})
        assert after["1"] != before["1"]
        assert run.terminate() == 0


def killed_once_and_stopped(run: Supervised, sink: SmtpSink, vhost: VirtualHost) -> None:
    """Have a worker killed and replaced, a mail sent, and all of it stopped.

    Of a mail that was sent before, the killed one might not have noted the relay's answer: a doubt
    is told of, and it goes out once more.
    """
    vhost.declare_topology()
    wait_until(lambda: len(run.workers()) == 2, 30, "both workers")
    killed = run.workers()["1"]
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: run.workers().get("1", killed) != killed, 30, "a new worker")
    vhost.publish_raw(BODY)
    wait_until(lambda: sink.count() == 1, 30, "a mail")
    assert run.terminate() == 0


def test_every_line_is_of_our_log_and_shows_what_became_of_the_processes(
    vhost: VirtualHost, sink: SmtpSink, tmp_path: Path
) -> None:
    settings = {"amqp_url": vhost.url, "smtp_url": sink.url, "processes": 2}

    with supervised(tmp_path / "out", **settings) as run:
        killed_once_and_stopped(run, sink, vhost)

        lines = [json.loads(line) for line in run.text.splitlines()]
        assert all({"timestamp", "level", "event", "logger"} <= line.keys() for line in lines)
        assert all(line["timestamp"].endswith("Z") for line in lines)
        assert [line for line in lines if line["level"] != "INFO"] == run.events("process ended")
        (ended,) = run.events("process ended")
        assert (ended["level"], "worker" in ended) == ("WARNING", False)
        assert ended["detail"] == "exited: worker-1 (terminated by SIGKILL; not expected)"
        assert len(run.events("process started")) == 2 + 1 + 1, "workers, again, and the listener"
        assert len(run.events("process stopped")) == 3


def test_the_level_is_for_supervisor_s_lines_too(
    vhost: VirtualHost, sink: SmtpSink, tmp_path: Path
) -> None:
    settings = {"amqp_url": vhost.url, "smtp_url": sink.url, "processes": 2}

    with supervised(tmp_path / "out", **settings, log_level="ERROR") as run:
        killed_once_and_stopped(run, sink, vhost)

        assert run.text == ""


def test_supervisor_s_lines_are_for_a_person_where_all_are(
    vhost: VirtualHost, sink: SmtpSink, tmp_path: Path
) -> None:
    settings = {"amqp_url": vhost.url, "smtp_url": sink.url, "processes": 2}

    with supervised(tmp_path / "out", **settings, log_level="DEBUG", log_format="human") as run:
        killed_once_and_stopped(run, sink, vhost)

        ours = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]{12}Z (DEBUG|INFO|WARNING) +\w+")
        assert [line for line in run.text.splitlines() if not ours.match(line)] == []
        assert "WARNING process ended logger=supervisor detail=exited: worker-1" in run.text


def test_workers_end_when_their_supervisor_is_killed(
    vhost: VirtualHost, sink: SmtpSink, tmp_path: Path
) -> None:
    with supervised(tmp_path / "out", amqp_url=vhost.url, smtp_url=sink.url, processes=2) as run:
        wait_consuming(run, 2)
        tree = run.tree()

        run.kill()

        wait_until(lambda: not any(map(is_running, tree)), 20, "an end of every process")


def test_no_process_of_the_tree_listens_on_the_network(
    vhost: VirtualHost, sink: SmtpSink, tmp_path: Path
) -> None:
    with supervised(tmp_path / "out", amqp_url=vhost.url, smtp_url=sink.url, processes=1) as run:
        wait_consuming(run, 1)
        vhost.publish_raw(BODY)
        wait_until(lambda: sink.count() == 1, 15, "a mail")

        assert len(run.tree()) == 3
        assert {port for pid in run.tree() for port in listening_ports(pid)} == set()


def test_the_look_at_sockets_sees_a_listener() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        assert listening_ports(os.getpid()) == {port}


def test_the_control_socket_is_the_user_s_alone(
    vhost: VirtualHost, sink: SmtpSink, tmp_path: Path
) -> None:
    before = run_folders()

    with supervised(tmp_path / "out", amqp_url=vhost.url, smtp_url=sink.url, processes=1) as run:
        wait_until(lambda: run_folders() - before, 15, "supervisor's folder")
        (folder,) = run_folders() - before
        wait_until((folder / "supervisor.sock").exists, 15, "the socket")

        assert folder.stat().st_mode & 0o077 == 0
        wait_consuming(run, 1)
        run.terminate()


def test_the_files_of_workers_that_are_no_more_are_removed_at_the_start(
    vhost: VirtualHost, sink: SmtpSink, tmp_path: Path
) -> None:
    stale = tmp_path / f"hopmail-{socket.gethostname()}-5.prom"
    stale.touch()

    with supervised(
        tmp_path / "out",
        amqp_url=vhost.url,
        smtp_url=sink.url,
        processes=1,
        metrics_dir=tmp_path,
    ) as run:
        wait_consuming(run, 1)

        assert not stale.exists()
        assert run.terminate() == 0


def supervised_by(configuration: str, place: Path, **variables: str) -> Supervised:
    """Start supervisor with a configuration of the test's own, without `hopmail run`'s checks."""
    file = place / "supervisord.conf"
    file.write_text(configuration)
    # A socket's path takes 107 bytes at most (unix(7)).
    folder = tempfile.mkdtemp()
    (place / "t").symlink_to(folder)
    given = {
        "SUPERVISE_PYTHON": sys.executable,
        "TMPDIR": folder,
        "SUPERVISE_PROCESSES": "2",
        "SUPERVISE_LOG_LEVEL": "ERROR",
        "SUPERVISE_LOG_FORMAT": "json",
        "SUPERVISE_LOG_DIR": "",
        "SUPERVISE_LOG_STDOUT": "yes",
        "SUPERVISE_STATE_DIR": str(place),
        "SUPERVISE_STOP_SECONDS": "5",
        "PYTHONPATH": str(ROOT),
    }
    return Supervised(
        place / "out",
        ("-m", "consumer.cli.supervise", str(file)),
        environment() | given | variables,
    )


def test_it_ends_with_78_at_once_when_every_worker_finds_its_settings_wrong(
    tmp_path: Path,
) -> None:
    """As when a secret vanishes after the start."""
    found = supervised_by((ROOT / CONFIGURATION).read_text(), tmp_path)

    try:
        code = found.wait()
    finally:
        found.stop()

    assert code == 78
    assert found.text.count("HOPMAIL_AMQP_URL is missing") == 2, "once by each worker"
    assert list((tmp_path / "t").iterdir()) == []


def test_it_ends_with_1_when_no_worker_can_be_started(tmp_path: Path) -> None:
    found = supervised_by(
        (ROOT / CONFIGURATION)
        .read_text()
        .replace('"%(ENV_SUPERVISE_PYTHON)s" -P -m consumer consume', str(tmp_path / "none"))
        .replace("startretries=10", "startretries=1"),
        tmp_path,
    )

    try:
        code = found.wait()
    finally:
        found.stop()

    assert code == 1
    given_up = found.events("process given up")
    assert [line["level"] for line in given_up] == ["ERROR", "ERROR"]


DIES = """
import os, sys
with open(sys.argv[1], "a+") as lives:
    print("life", file=lives)
    lives.seek(0)
    count = len(lives.readlines())
os.kill(os.getpid(), 9) if count % 2 else sys.exit(70)
"""


def test_a_worker_is_started_again_however_often_it_dies(tmp_path: Path) -> None:
    """Mails that kill their worker must not end the service."""
    program, lives = tmp_path / "dies.py", tmp_path / "lives"
    program.write_text(DIES)
    found = supervised_by(
        (ROOT / CONFIGURATION)
        .read_text()
        .replace("-P -m consumer consume", f"{program} {lives}")
        .replace("startretries=10", "startretries=1"),
        tmp_path,
        SUPERVISE_PROCESSES="1",
    )

    try:
        wait_until(lambda: lives.exists() and lives.read_text().count("life") == 5, 30, "5 lives")
        code = found.terminate()
    finally:
        found.stop()

    assert code == 0


def test_supervisor_tends_its_archive_while_nothing_happens(tmp_path: Path) -> None:
    """A worker of other making, so that nobody else does."""
    folder = tmp_path / "log"
    folder.mkdir()
    begun = folder / f"hopmail-{socket.gethostname()}-run.log"
    begun.write_text(f"{'x' * 10_000}\n")
    found = supervised_by(
        (ROOT / CONFIGURATION)
        .read_text()
        .replace("-P -m consumer consume", "-c 'import time; time.sleep(60)'"),
        tmp_path,
        SUPERVISE_PROCESSES="1",
        SUPERVISE_LOG_LEVEL="INFO",
        SUPERVISE_LOG_DIR=str(folder),
        SUPERVISE_LOG_MAX_BYTES="10000",
        SUPERVISE_LOG_KEEP_SECONDS="3600",
        SUPERVISE_LOG_STDOUT="no",
    )

    try:
        wait_until(lambda: list(folder.glob("*.log.gz")), 30, "the full file, compressed")
        assert found.terminate() == 0
    finally:
        found.stop()

    assert found.text == ""
    assert "stopped: " in begun.read_text()


DIES_OF_POISON = """
import os, sys

if "consume" in sys.orig_argv:
    from consumer import attempt

    compose = attempt.compose

    def dying(email, *rest):
        if email.subject == "poison":
            os.abort()
        return compose(email, *rest)

    attempt.compose = dying
"""


def test_mails_that_kill_their_worker_end_as_dead_letters_and_their_neighbour_is_sent_before(
    vhost: VirtualHost, sink: SmtpSink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(DIES_OF_POISON)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(tmp_path), str(ROOT))))
    vhost.declare_topology()
    for number in range(3):
        poison = BODY.replace(b'"subject": "s"', b'"subject": "poison"')
        vhost.publish_raw(poison, message_id=f"poison-{number}")
    vhost.publish_raw(BODY, message_id="healthy")

    with supervised(tmp_path / "out", amqp_url=vhost.url, smtp_url=sink.url, processes=2) as run:
        wait_until(lambda: sink.count() == 1, 60, "the neighbour")
        assert vhost.queue_depth(DEAD_QUEUE) == 0
        # One whose ack was lost with its worker, which died of the next, comes twice.
        found: dict[str, str] = {}

        def have_come() -> bool:
            for dead in vhost.take_all(DEAD_QUEUE):
                found[dead.properties.message_id] = dead.headers["x-hopmail-reason"]
            return len(found) == 3

        wait_until(have_come, 90, "the dead letters")
        assert found == {f"poison-{number}": "poison" for number in range(3)}
        assert run.terminate() == 0
        assert sink.count() == 1


def test_a_ledger_that_cannot_be_kept_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    ended = hopmail(
        "run",
        amqp_url="amqp://a:b@127.0.0.1:1",
        smtp_url="smtp://127.0.0.1:1?tls=none",
        state_dir=tmp_path / "file" / "state",
    )

    (line,) = (ended.stdout + ended.stderr).splitlines()
    assert ended.returncode == 78
    assert line.startswith(f"✗ HOPMAIL_STATE_DIR: {tmp_path}/file/state cannot be written")


def test_the_output_may_be_a_socket_as_systemd_gives_it(vhost: VirtualHost, sink: SmtpSink) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, ours.makefile("rb") as lines:
        ours.settimeout(30)
        process = subprocess.Popen(
            [sys.executable, "-m", "consumer", "run"],
            cwd=ROOT,
            env=environment(amqp_url=vhost.url, smtp_url=sink.url, processes=1),
            stdout=theirs.fileno(),
            stderr=theirs.fileno(),
        )
        theirs.close()
        try:
            assert any(b'"consuming"' in line for line in lines)
            process.terminate()
            rest = lines.read()
            code = process.wait(45)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait(45)

    assert code == 0
    assert b'"stopped"' in rest


def test_it_runs_from_any_folder_whatever_lies_there(
    vhost: VirtualHost, sink: SmtpSink, tmp_path: Path
) -> None:
    """A web app's own module of our package's name must not be taken for it."""
    (tmp_path / "consumer.py").write_text("raise SystemExit('not me')\n")
    variables = environment(amqp_url=vhost.url, smtp_url=sink.url, processes=1)
    program = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); from consumer.__main__ import main; main()"
    )
    found = Supervised(
        tmp_path / "out",
        ("-P", "-c", f"import os; os.chdir({str(tmp_path)!r}); {program}", "run"),
        variables,
    )

    try:
        wait_consuming(found, 1)
        code = found.terminate()
    finally:
        found.stop()

    assert code == 0
    assert "not me" not in found.text


SIGNALLED_BEFORE_EXEC = """
import os, signal, sys
from consumer.cli.supervise import Options
child = Options().fork()
if child == 0:
    os.kill(os.getpid(), signal.SIGTERM)
    os.execv(sys.executable, [sys.executable, "-m", "consumer", "consume"])
assert not signal.pthread_sigmask(signal.SIG_BLOCK, ()), "our own are taken again"
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_stop_signal_that_comes_between_fork_and_exec_is_not_lost(
    vhost: VirtualHost, sink: SmtpSink
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SIGNALLED_BEFORE_EXEC],
        cwd=ROOT,
        env=environment(amqp_url=vhost.url, smtp_url=sink.url, log_format="json"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert '"event": "stopped"' in done.stdout
