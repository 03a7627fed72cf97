"""`hopmail ledger`: a copy made beside a worker, and what it is worth when it is put back."""

import json
import shutil
from pathlib import Path

from publisher_lib.routing import Lane
from tests.cli.command import hopmail
from tests.support.broker import VirtualHost
from tests.support.consumer_process import ConsumerProcess, consuming, state_folder, wait_until
from tests.support.smtp_sink import smtp_sink

NOWHERE = "smtp://127.0.0.1:9?tls=none"
EMAIL = json.dumps(
    {
        "email_to": "ada@example.org",
        "email_from": "app@example.org",
        "subject": "Hi",
        "message": {"text": "Hello"},
    }
).encode()


def ledger(vhost: VirtualHost, *arguments: object) -> tuple[int, str]:
    ended = hopmail("ledger", *map(str, arguments), amqp_url=vhost.url, smtp_url=NOWHERE)
    return ended.returncode, ended.stdout + ended.stderr


def send(vhost: VirtualHost, process: ConsumerProcess, names: list[str]) -> set[str]:
    """Publish emails of these ids; return what became of them."""
    before = len(process.events("handled"))
    for name in names:
        vhost.publish_raw(EMAIL, lane=Lane.TRANSACTIONAL, message_id=name)
    wait_until(lambda: len(process.events("handled")) == before + len(names), what="all of them")
    return {line["outcome"] for line in process.events("handled")[before:]}


def test_put_back_on_another_disk_it_knows_what_was_sent_before_the_copy(
    vhost: VirtualHost, tmp_path: Path
) -> None:
    before, after = [f"before-{n}" for n in range(20)], [f"after-{n}" for n in range(3)]
    copy = tmp_path / "copy"
    with smtp_sink(tmp_path / "first") as sink, consuming(vhost.url, sink.url) as process:
        assert send(vhost, process, before) == {"accepted"}
        code, said = ledger(vhost, "backup", copy)
        assert (code, said) == (0, f"✓ {copy}: 20 entries, {copy.stat().st_size} bytes\n")
        assert send(vhost, process, after) == {"accepted"}
    shutil.rmtree(state_folder(vhost.url))

    assert ledger(vhost, "restore", copy) == (0, "✓ the ledger has 20 entries again\n")

    with smtp_sink(tmp_path / "second") as sink, consuming(vhost.url, sink.url) as process:
        assert send(vhost, process, before) == {"duplicate"}
        # As docs/growing.md says.
        assert send(vhost, process, after) == {"accepted"}
        assert set(sink.message_ids()) == set(after)


def test_it_is_not_put_back_under_a_worker(vhost: VirtualHost, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    with smtp_sink(tmp_path / "mail") as sink, consuming(vhost.url, sink.url):
        assert ledger(vhost, "backup", copy)[0] == 0

        code, said = ledger(vhost, "restore", copy)

    assert code == 1
    assert said.startswith("✗ ledger: consumers use this ledger: stop them first")


def test_what_is_no_copy_is_told(vhost: VirtualHost, tmp_path: Path) -> None:
    code, said = ledger(vhost, "restore", tmp_path / "nothing")

    assert (code, said) == (1, f"✗ ledger: {tmp_path / 'nothing'} does not exist\n")
