"""An envelope told in one write with the dot of the mail before: what it saves, and never costs."""

from collections.abc import Callable, Sequence

import pytest

from consumer.core.envelope import Composed, Envelope
from consumer.core.outcome import Accepted, InDoubt, Refused, Reply, Stage, TransactionOutcome
from consumer.core.relay_url import RelayURL
from consumer.smtp import session as session_module
from consumer.smtp.conversation import Conversation
from consumer.smtp.relay import Relay
from consumer.smtp.session import Ahead, GivenBack
from tests.support.smtp_script import Event, Rule, hang_up, late, say, silence
from tests.support.smtp_server import SmtpServer, smtp_server
from tests.support.transacting import SENDER, yes

QUEUED = Accepted(Reply(250, "2.0.0", "queued"))
ALWAYS_PROMPT = 60.0


def mail(number: int, size: int = 10) -> Composed:
    lines, rest = divmod(size, 50)
    text = (b"x" * 48 + b"\r\n") * lines + b"x" * rest
    content = b"Subject: %d\r\n\r\n%s\r\n" % (number, text)
    return Composed(Envelope(SENDER, (f"r{number}@example.org",)), content)


class Line:
    """Mails handed over one after the other, each told of the one after it."""

    def __init__(self, server: SmtpServer, **options: object) -> None:
        self.relay = Relay(RelayURL.parse(server.url_with("", "127.0.0.1", **options)))
        self.transactor = self.relay.transactor()

    def send(
        self,
        composed: Composed,
        ahead: Composed | None = None,
        before_dot: Callable[..., bool] = yes,
    ) -> TransactionOutcome:
        """Hand one over; `ahead` comes next."""
        (answer,) = self.transactor.transact(
            composed.envelope, composed.content, before_dot, lambda: ahead
        )
        return answer[1]

    def send_all(self, mails: Sequence[Composed]) -> list[TransactionOutcome]:
        """Hand all over."""
        return [
            self.send(each, after) for each, after in zip(mails, (*mails[1:], None), strict=True)
        ]


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count what each write had handed over."""
    sizes: list[int] = []
    send = Conversation.send

    def counting(self: Conversation, s: object) -> None:
        send(self, s)  # type: ignore[arg-type]  # passed on as it came
        sizes.append(self.handed_over)

    monkeypatch.setattr(Conversation, "send", counting)
    return sizes


def warmed_up(line: Line) -> Line:
    """Send one mail: only a relay that has answered a dot promptly is told ahead."""
    assert line.send(mail(0)) == QUEUED
    return line


@pytest.mark.parametrize("size", [10, 5_000, 16_300, 16_384, 40_000])
def test_each_mail_costs_one_round_trip(writes: list[int], size: int) -> None:
    mails = [mail(number, size) for number in range(1, 7)]
    with smtp_server() as server:
        line = warmed_up(Line(server))
        del writes[:]
        outcomes = line.send_all(mails)
        sent = len(writes)
        line.transactor.close()

    assert outcomes == [QUEUED] * 6
    assert [each.content for each in server.mails[1:]] == [each.content for each in mails]
    assert [each.recipients for each in server.mails[1:]] == [
        each.envelope.recipients for each in mails
    ]
    assert server.sessions == 1
    if size < 10_000:
        assert sent == 1 + 6, "the first envelope, and each content with what follows it"
    assert server.commands[-1] == "QUIT"


def test_a_relay_without_pipelining_is_told_one_by_one() -> None:
    asked: list[object] = []

    def ahead() -> None:
        asked.append(ahead)

    with smtp_server(extensions=()) as server:
        line = warmed_up(Line(server))
        each = mail(1)
        line.transactor.transact(each.envelope, each.content, yes, ahead)
        line.transactor.close()

    assert len(server.mails) == 2
    assert asked == []


def test_a_mail_told_ahead_that_does_not_come_is_not_sent() -> None:
    with smtp_server() as server:
        line = warmed_up(Line(server))
        assert line.send(mail(1), ahead=mail(2)) == QUEUED
        assert line.send(mail(3)) == QUEUED
        line.transactor.close()

    assert [each.recipients for each in server.mails] == [
        ("r0@example.org",),
        ("r1@example.org",),
        ("r3@example.org",),
    ]
    assert server.sessions == 2, "the relay awaited the other's content"


def test_a_session_told_ahead_is_left_without_a_word() -> None:
    with smtp_server() as server:
        line = warmed_up(Line(server))
        assert line.send(mail(1), ahead=mail(2)) == QUEUED
        assert line.transactor.is_told
        line.transactor.close()
        assert not line.transactor.is_told

    assert len(server.mails) == 2
    assert "QUIT" not in server.commands


@pytest.mark.parametrize(
    ("stage", "event", "outcome"),
    [
        ("MAIL", "451 4.3.0 later", Refused(Stage.MAIL, Reply(451, "4.3.0", "later"))),
        ("RCPT", "550 5.1.1 nobody", Refused(Stage.RCPT, Reply(550, "5.1.1", "nobody"))),
        ("DATA", "451 4.3.0 later", Refused(Stage.DATA, Reply(451, "4.3.0", "later"))),
    ],
)
def test_what_was_told_ahead_may_be_refused(
    stage: str, event: str, outcome: TransactionOutcome
) -> None:
    with smtp_server() as server:
        line = warmed_up(Line(server))
        server.script[stage] = [None, say(event)]
        outcomes = line.send_all([mail(1), mail(2), mail(3)])
        line.transactor.close()

    assert outcomes == [QUEUED, outcome, QUEUED]
    assert server.sessions == 1


def test_a_refused_dot_leaves_what_was_told_ahead_alone() -> None:
    refused = Refused(Stage.END_OF_DATA, Reply(554, "5.7.1", "spam"))
    with smtp_server() as server:
        line = warmed_up(Line(server))
        server.script["END_OF_DATA"] = [say("554 5.7.1 spam")]
        outcomes = line.send_all([mail(1), mail(2)])
        line.transactor.close()

    assert outcomes == [refused, QUEUED]
    assert server.sessions == 1


LOST: dict[str, Rule] = {
    "after the reply to the dot": [hang_up("250 2.0.0 queued")],
    "with a goodbye": [say("250 2.0.0 queued\r\n421 4.4.2 enough")],
}


@pytest.mark.parametrize("rule", LOST.values(), ids=LOST)
def test_a_relay_that_leaves_after_the_dot_gets_the_next_mail_anew(rule: Rule) -> None:
    with smtp_server() as server:
        line = warmed_up(Line(server))
        server.script["END_OF_DATA"] = rule
        outcomes = line.send_all([mail(1), mail(2), mail(3)])
        line.transactor.close()

    assert outcomes == [QUEUED] * 3
    taken = [each.recipients for each in server.dotted]
    assert taken == [(f"r{number}@example.org",) for number in range(4)]
    assert server.sessions == 2
    assert not line.relay.hears_ahead


def test_the_mail_before_is_in_doubt_and_the_one_told_ahead_is_not() -> None:
    with smtp_server() as server:
        line = warmed_up(Line(server))
        server.script["END_OF_DATA"] = [hang_up()]
        first, second = line.send_all([mail(1), mail(2)])
        line.transactor.close()

    assert isinstance(first, InDoubt)
    assert second == QUEUED
    assert not line.relay.hears_ahead


def test_a_relay_out_of_step_gets_both_one_by_one() -> None:
    with smtp_server() as server:
        line = warmed_up(Line(server))
        server.script["END_OF_DATA"] = [say("554 SMTP synchronization error")]
        outcomes = line.send_all([mail(1), mail(2)])
        line.transactor.close()

    assert outcomes == [QUEUED, QUEUED]
    assert len(server.mails) == 3


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(silence(), id="all of it"),
        pytest.param(say("500 5.5.2 what?"), id="up to the middle of a command"),
        pytest.param(say("503 5.5.1 need MAIL first"), id="up to a later one"),
    ],
)
def test_a_relay_that_drops_what_came_with_the_dot_is_told_again(event: Event) -> None:
    with smtp_server() as server:
        line = warmed_up(Line(server, timeout=1))
        server.script["MAIL"] = [None, event]
        outcomes = line.send_all([mail(1), mail(2)])
        line.transactor.close()

    assert outcomes == [QUEUED, QUEUED]
    assert len(server.mails) == 3
    assert not line.relay.hears_ahead


def test_a_mail_given_back_takes_nothing_with_it() -> None:
    def no(_recipients: tuple[str, ...]) -> bool:
        return False

    with smtp_server() as server:
        line = warmed_up(Line(server))
        with pytest.raises(GivenBack):
            line.send(mail(1), ahead=mail(2), before_dot=no)
        assert line.send(mail(2)) == QUEUED
        line.transactor.close()

    assert [each.recipients for each in server.mails] == [("r0@example.org",), ("r2@example.org",)]


def test_the_next_mail_is_made_ready_before_the_dot_is_noted() -> None:
    order: list[str] = []

    def before_dot(_recipients: tuple[str, ...]) -> bool:
        order.append("noted")
        return True

    def ahead() -> Composed:
        order.append("made ready")
        return mail(2)

    with smtp_server() as server:
        line = warmed_up(Line(server))
        first = mail(1)
        line.transactor.transact(first.envelope, first.content, before_dot, ahead)
        line.transactor.close()

    # Made ready afterwards, a mail that kills its process would put the other one in doubt.
    assert order == ["made ready", "noted"]


def test_a_relay_that_thinks_long_about_dots_is_told_nothing_ahead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(session_module, "PROMPT_SECONDS", 0.2)
    slow: Event = late(0.3, "250 2.0.0 queued")
    with smtp_server({"END_OF_DATA": slow}) as server:
        line = warmed_up(Line(server))
        line.send(mail(1), ahead=mail(2))
        assert not line.transactor.is_told
        line.transactor.close()


def test_the_last_mail_of_a_session_is_followed_by_none() -> None:
    with smtp_server() as server:
        line = warmed_up(Line(server, messages_per_session=3))
        outcomes = line.send_all([mail(number) for number in range(1, 6)])
        line.transactor.close()

    assert outcomes == [QUEUED] * 5
    assert server.sessions == 2
    assert server.commands.count("QUIT") == 2


def test_what_this_relay_cannot_take_is_not_told_ahead() -> None:
    with smtp_server(size_limit=1_000) as server:
        line = warmed_up(Line(server))
        line.send(mail(1), ahead=mail(2, size=2_000))
        assert not line.transactor.is_told
        line.transactor.close()


def test_an_envelope_too_long_for_the_write_is_not_told_ahead() -> None:
    many = Envelope(SENDER, tuple(f"{'r' * 60}{n}@{'d' * 60}.example.org" for n in range(100)))
    with smtp_server() as server:
        line = warmed_up(Line(server))
        line.send(mail(1), ahead=Composed(many, b"Subject: many\r\n\r\n"))
        assert not line.transactor.is_told
        line.transactor.close()


def test_nobody_told_of_nothing_is_asked_again() -> None:
    nothing: Ahead = lambda: None  # noqa: E731 - its type is what matters
    with smtp_server() as server:
        line = warmed_up(Line(server))
        first = mail(1)
        line.transactor.transact(first.envelope, first.content, yes, nothing)
        assert not line.transactor.is_told
        line.transactor.close()
    assert server.commands[-1] == "QUIT"
