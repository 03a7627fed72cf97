"""What a web app's own tests get: the library's behaviour without a broker."""

import inspect
import re
import subprocess
import sys
import tomllib
from datetime import UTC, datetime, timedelta
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from consumer.core.contract import parse
from publisher_lib import (
    Attachment,
    InvalidEmail,
    Lane,
    NotPublished,
    OutcomeUnknown,
    Publisher,
    PublishError,
    PublishManyFailed,
    Rejected,
    Unroutable,
)
from publisher_lib.testing import Outbox, OutboxPublisher, outbox
from tests.publisher.emails import as_mapping, email

ROOT = Path(__file__).parents[2]
NOWHERE = "amqp://app:secret@127.0.0.1:1/"
"""Nobody listens there: what came to connect would fail."""

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

FAILURES = [Unroutable, Rejected, NotPublished, OutcomeUnknown]


def test_every_publisher_of_the_process_delivers_into_it() -> None:
    app_s = Publisher(NOWHERE, app_id="shop")
    with outbox() as mails:
        receipt = app_s.send(
            to="Ada <ada@example.org>",
            from_="app@example.org",
            subject="Confirm your address",
            text="…",
            bcc="grace@example.org",
            lane=Lane.BULK,
            traceparent=TRACE,
        )
        Publisher(NOWHERE).publish(as_mapping(), message_id="order-4711")
    first, second = mails.sent
    assert first.email.subject == "Confirm your address"
    assert first.email.recipients == ("ada@example.org", "grace@example.org")
    assert (first.message_id, first.lane) == (receipt.message_id, Lane.BULK)
    assert (first.app_id, first.traceparent) == ("shop", TRACE)
    assert (second.message_id, second.lane) == ("order-4711", Lane.TRANSACTIONAL)
    assert (second.app_id, second.traceparent) == (None, None)


def test_afterwards_they_look_for_their_broker_again() -> None:
    with outbox() as mails, Publisher(NOWHERE, timeout=timedelta(seconds=0.2)) as publisher:
        publisher.publish(email())
    with Publisher(NOWHERE, timeout=timedelta(seconds=0.2)) as publisher:
        with pytest.raises(NotPublished):
            publisher.publish(email())
        assert len(mails.sent) == 1


def test_what_is_kept_is_what_the_consumer_would_read() -> None:
    full = email().model_copy(
        update={
            "attachments": (
                Attachment(filename="a.txt", content_type="text/plain", content="YQ=="),
            ),
            "expires_at": datetime(2030, 1, 1, tzinfo=UTC),
        }
    )
    publisher = OutboxPublisher()
    publisher.publish(full)
    (sent,) = publisher.outbox.sent
    assert sent.email == parse(full.to_json()) == full


def test_all_four_ways_to_publish_keep_the_order() -> None:
    publisher = OutboxPublisher()
    publisher.publish(email(0))
    publisher.publish_many([email(1), email(2)], message_ids=["one", "two"])
    assert publisher.publish_nowait(email(3)).result().message_id
    publisher.send(to="a@example.org", from_="b@example.org", subject="Message 4", text="…")
    assert [sent.email.subject for sent in publisher.outbox.sent] == [
        f"Message {number}" for number in range(5)
    ]
    publisher.outbox.clear()
    assert publisher.outbox.sent == []


@pytest.mark.parametrize(
    "wrong",
    [
        as_mapping(email_to="nobody"),
        as_mapping(subject="a\nb"),
        as_mapping(message={}),
        as_mapping(colour="red"),
        as_mapping(email_to=[f"u{number}@example.org" for number in range(101)]),
    ],
)
def test_the_checks_are_the_real_ones(wrong: dict[str, object]) -> None:
    told = []
    for publisher in (Publisher(NOWHERE), standing_in := OutboxPublisher()):
        with pytest.raises(InvalidEmail) as caught:
            publisher.publish_nowait(wrong, message_id="same")
        told.append((str(caught.value), caught.value.violations, caught.value.message_id))
    assert told[0] == told[1]
    assert standing_in.outbox.sent == []


def test_arguments_are_refused_as_ever() -> None:
    with outbox() as mails:
        publisher = Publisher(NOWHERE)
        with pytest.raises(ValueError, match="there is no lane"):
            publisher.publish(email(), lane="urgent")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="timeout must be a timedelta"):
            publisher.publish(email(), timeout=3)  # type: ignore[arg-type]
        with pytest.raises(InvalidEmail, match="message_id"):
            publisher.publish(email(), message_id="two words")
        with pytest.raises(ValueError, match="app_id"):
            OutboxPublisher(app_id="")
        with pytest.raises(ValueError, match="amqp"):
            OutboxPublisher("http://localhost")
    assert mails.sent == []


@pytest.mark.parametrize("error", FAILURES)
def test_it_fails_as_it_is_told(error: type[PublishError]) -> None:
    publisher = OutboxPublisher()
    publisher.outbox.fail_with(error)
    future = publisher.publish_nowait(email(), message_id="same")
    assert type(future.exception()) is error
    with pytest.raises(error) as caught:
        publisher.publish(email(), message_id="same")
    assert caught.value.message_id == "same"
    assert publisher.outbox.sent == []

    publisher.outbox.recover()
    publisher.publish(email(), message_id="same")
    assert [sent.message_id for sent in publisher.outbox.sent] == ["same"]


def test_an_invalid_email_fails_at_once() -> None:
    publisher = OutboxPublisher()
    publisher.outbox.fail_with(InvalidEmail, times=1)
    with pytest.raises(InvalidEmail) as caught:
        publisher.publish_nowait(email(), message_id="same")
    assert caught.value.violations
    assert caught.value.message_id == "same"
    publisher.publish(email())


def test_it_fails_half_way_and_comes_right() -> None:
    publisher = OutboxPublisher()
    publisher.outbox.fail_with(Rejected, after=2, times=1)
    with pytest.raises(PublishManyFailed) as caught:
        publisher.publish_many([email(number) for number in range(5)])
    assert (list(caught.value.receipts), list(caught.value.failures)) == ([0, 1], [2])
    assert caught.value.is_cut_short
    assert type(caught.value.failures[2]) is Rejected
    publisher.publish(email(5))
    assert len(publisher.outbox.sent) == 3


@pytest.mark.parametrize("error", [PublishManyFailed, PublishError])
def test_other_errors_are_no_failure_of_an_email(error: type[PublishError]) -> None:
    with pytest.raises(ValueError, match="an email fails with one of InvalidEmail, Unroutable"):
        Outbox().fail_with(error)


def test_a_closed_one_publishes_no_more() -> None:
    with OutboxPublisher() as publisher:
        publisher.publish(email())
    with pytest.raises(NotPublished, match="closed"):
        publisher.publish(email())
    with outbox() as mails:
        with Publisher(NOWHERE) as another:
            another.publish(email())
        with pytest.raises(NotPublished, match="closed"):
            another.publish(email())
    assert len(mails.sent) == 1


def test_an_observer_is_told() -> None:
    class Told:
        results: list[str] = []  # noqa: RUF012 - of this one test

        def ended(self, lane: Lane, result: str, seconds: float) -> None:  # noqa: ARG002
            self.results.append(result)

    publisher = OutboxPublisher(metrics=Told())
    publisher.publish(email())
    publisher.outbox.fail_with(Unroutable)
    with pytest.raises(Unroutable):
        publisher.publish(email())
    publisher.outbox.fail_with(InvalidEmail)
    with pytest.raises(InvalidEmail):
        publisher.publish(email())
    assert Told.results == ["confirmed", "unroutable", "invalid"]


@pytest.mark.parametrize("is_handed", [True, False])
def test_a_done_callback_must_not_wait_here_either(*, is_handed: bool) -> None:
    told: list[object] = []

    with outbox():
        publisher = OutboxPublisher() if is_handed else Publisher(NOWHERE)

        def wait(done: object) -> None:
            told.append(done)
            publisher.publish_nowait(email()).add_done_callback(told.append)
            for publish in (publisher.publish, lambda one: publisher.publish_many([one])):
                with pytest.raises(RuntimeError, match="done callback"):
                    publish(email())

        publisher.publish_nowait(email()).add_done_callback(wait)
        publisher.publish(email())
    assert len(told) == 2


def test_without_any_time_nothing_is_published() -> None:
    publisher = OutboxPublisher()
    with pytest.raises(NotPublished):
        publisher.publish(email(), timeout=timedelta())
    assert publisher.outbox.sent == []


def test_its_methods_are_the_publisher_s_own() -> None:
    """So its signatures cannot drift; only what makes one may leave the URL out."""
    own = {name for name in vars(OutboxPublisher) if not name.startswith("__")}
    assert own == set()
    made, stands_in = (inspect.signature(each) for each in (Publisher, OutboxPublisher))
    assert list(made.parameters) == list(stands_in.parameters)
    for name, parameter in made.parameters.items():
        other = stands_in.parameters[name]
        assert (parameter.kind, parameter.annotation) == (other.kind, other.annotation)
        assert name == "url" or parameter.default == other.default


def test_a_fixture_hands_over_the_outbox(outbox: Outbox) -> None:
    Publisher(NOWHERE).publish(email())

    assert len(outbox.sent) == 1


def test_pytest_gets_the_fixture(tmp_path: Path) -> None:
    """By the plugin that the package names; each test has an outbox of its own."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    plugin = project["entry-points"]["pytest11"]["hopmail"]
    assert "pytest" not in " ".join(project["dependencies"])
    assert hasattr(import_module(plugin), "outbox")
    (tmp_path / "test_app.py").write_text(
        "import pytest\n"
        "from publisher_lib import NotPublished, Publisher\n"
        f"publisher = Publisher({NOWHERE!r})\n"
        "MAIL = dict(to='a@example.org', from_='b@example.org', subject='Hi', text='…')\n"
        "@pytest.mark.parametrize('turn', [1, 2])\n"
        "def test_sends(outbox, turn):\n"
        "    publisher.send(**MAIL)\n"
        "    assert [sent.email.subject for sent in outbox.sent] == ['Hi']\n"
        "def test_fails(outbox):\n"
        "    outbox.fail_with(NotPublished)\n"
        "    with pytest.raises(NotPublished):\n"
        "        publisher.send(**MAIL)\n"
    )
    # An environment made before the entry point was there does not know it; twice is an error.
    is_known = any(each.value == plugin for each in entry_points(group="pytest11"))
    named = [] if is_known else ["-p", plugin]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *named, "-p", "no:cacheprovider", tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert re.search(r"^3 passed", ran.stdout, re.MULTILINE)
