"""The parts that need no broker: URLs, message ids, errors, explanations."""

import os
import pickle
import pty
import signal
import ssl
import time
import uuid
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path

import pika
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from pika import exceptions
from pika.adapters.utils.connection_workflow import AMQPConnectorStackTimeout

from publisher_lib import InvalidEmail, Lane, NotPublished, PublishManyFailed, Receipt, Unroutable
from publisher_lib.batch import Batch
from publisher_lib.broker_url import explain, read_urls
from publisher_lib.message_id import MESSAGE_ID, new_message_id
from publisher_lib.outgoing import Outgoing
from publisher_lib.window import Window
from tests.support.certificates import authority


def test_urls_are_read_from_a_list_or_a_text_with_commas() -> None:
    one, two = read_urls("amqp://a:pw@h/%2F, amqps://a:p%2Cw@[::1]:7/mail?heartbeat=5", "app")

    assert str(one) == "amqp://a@h:5672/"
    assert str(two) == "amqps://a@::1:7/mail"
    assert (one.settings.heartbeat, two.settings.heartbeat) == (10, 5)
    assert two.settings.credentials.password == "p,w"
    assert two.settings.ssl_options.context.check_hostname
    assert two.settings.client_properties["connection_name"] == "app"
    assert list(read_urls(["amqp://a:pw@h"], "app")) == [
        one.__class__("amqp", "a", "h:5672", "/", read_urls("amqp://a:pw@h", "app")[0].settings)
    ]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost",
        "http://a:secret@h",
        "amqp://a:secret@h:port/",
        "amqp://a@h/",
        "amqp://[secret",
        "amqp://a:secret@h/?colour=secret",
        "amqp://a:secret@h/?client_properties=secret(",
        [],
    ],
)
def test_what_is_no_broker_url_is_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(ValueError, match="amqp://login:password@host:5672/vhost") as error:
        read_urls(url, "app")

    assert "secret" not in str(error.value)
    assert error.value.__cause__ is None


@pytest.mark.filterwarnings("ignore:ssl.PROTOCOL_TLS is deprecated")
def test_no_option_switches_the_certificates_verification_off() -> None:
    with pytest.raises(ValueError, match="verification off: name no protocol"):
        read_urls("amqps://a:secret@h/?ssl_options={'protocol':2%2C'ca_path':'/'}", "app")


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("cacertfile=secret.pem", "the option cacertfile must be an absolute path"),
        ("keyfile=/secret.pem", "the option keyfile needs certfile"),
        ("verify=verify_none", "always verified"),
        ("certfile=/secret.pem&certfile=/secret.pem", "given twice"),
        ("cacertfile=/secret.pem&ssl_options={}", "exclude one another"),
    ],
)
def test_a_wrong_option_of_tls_is_named_and_not_quoted(query: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as error:
        read_urls(f"amqps://a:secret@h/?{query}", "app")

    assert "secret" not in str(error.value)
    assert error.value.__cause__ is None


def test_certificates_are_for_amqps_only() -> None:
    with pytest.raises(ValueError, match="the option cacertfile needs amqps://"):
        read_urls("amqp://a:secret@h/?cacertfile=/ca.pem", "app")


def test_options_of_tls_leave_the_others_as_they_are() -> None:
    with authority() as ca:
        url = f"amqps://a:b%2Fc@h/v%2Fh?heartbeat=7&cacertfile={ca.cafile}"
        (broker,) = read_urls(f"{url}&server_name_indication=broker.example", "app")
        parameters = broker.parameters()

    assert (parameters.host, parameters.port, parameters.virtual_host) == ("h", 5671, "v/h")
    assert (parameters.heartbeat, parameters.credentials.password) == (7, "b/c")
    assert parameters.ssl_options.server_hostname == "broker.example"
    assert len(parameters.ssl_options.context.get_ca_certs()) == 1
    assert parameters.ssl_options.context.check_hostname


def test_a_file_that_cannot_be_used_is_named_with_its_option(tmp_path: Path) -> None:
    (tmp_path / "none.pem").write_text("no certificate")
    with authority() as ca:
        mine, other = tmp_path / "mine.pem", tmp_path / "other.pem"
        ca.issue(mine, "me")
        ca.issue(other, "other")
        for query, said in (
            (f"cacertfile={tmp_path}/absent.pem", "absent.pem cannot be read: No such file"),
            (f"cacertfile={tmp_path}", "cannot be read: Is a directory"),
            (f"cacertfile={tmp_path}/none.pem", "none.pem holds no certificate in PEM"),
            (f"certfile={ca.cafile}", "must be a certificate and its key in PEM"),
            (f"certfile={mine}&keyfile={tmp_path}/none.pem", "must be a certificate and its key"),
            (f"certfile={mine}&keyfile={other}", "the key is not that of certfile"),
        ):
            (broker,) = read_urls(f"amqps://a:b@h/?{query}", "app")
            with pytest.raises(OSError, match=said):
                broker.parameters()


def test_nobody_is_asked_for_the_passphrase_of_a_key(tmp_path: Path) -> None:
    with authority() as ca:
        mine = ca.issue(tmp_path / "mine.pem", "me")
    key = load_pem_private_key(mine.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"word"))
    (tmp_path / "locked.key").write_bytes(locked)
    (broker,) = read_urls(f"amqps://a:b@h/?certfile={mine}&keyfile={tmp_path}/locked.key", "app")

    child, terminal = pty.fork()
    if not child:
        # It has a terminal, at which OpenSSL would ask.
        with suppress(OSError):
            broker.parameters()
        os.write(1, b"done")
        os._exit(0)
    told = os.read(terminal, 100)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(terminal)

    assert told == b"done"
    with pytest.raises(OSError, match="the key without a passphrase"):
        broker.parameters()


def test_a_lane_that_is_none_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="no lane 'fast': use transactional or bulk"):
        Lane("fast")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (exceptions.ProbableAuthenticationError(), "refused the login"),
        (exceptions.ProbableAccessDeniedError(), "virtual host"),
        (exceptions.ChannelClosedByBroker(404, "NOT_FOUND"), "404 NOT_FOUND"),
        (exceptions.AMQPConnectionError(exceptions.AMQPError(OSError(1, "no"))), "no"),
        (exceptions.StreamLostError(), "StreamLostError"),
        (AMQPConnectorStackTimeout(), "accepts connections but does not answer"),
        (ssl.SSLError(1, "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] …"), "(certificate required)"),
    ],
)
def test_errors_are_explained_in_words(error: Exception, words: str) -> None:
    assert words in explain(error)


def test_a_connection_cut_off_within_tls_may_want_a_certificate() -> None:
    plain, secured = read_urls("amqp://a:pw@h/,amqps://a:pw@h/", "app")
    lost = exceptions.StreamLostError("Stream connection lost: SSLEOFError(8, 'EOF')")

    assert "if it wants a client certificate, certfile=" in secured.explain(lost)
    assert "certfile=" not in plain.explain(lost)
    assert "certfile=" not in secured.explain(exceptions.ProbableAuthenticationError())


@pytest.mark.parametrize(("code", "cure"), [(10, ""), (20, "; cacertfile= in its URL names")])
def test_only_for_an_unknown_authority_another_is_the_cure(code: int, cure: str) -> None:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = code, "no"

    assert explain(error).startswith(f"the broker's certificate is refused: no{cure}")


def test_message_ids_are_of_version_7_and_of_the_present() -> None:
    before_ms = time.time_ns() // 1_000_000
    made = [new_message_id() for _ in range(1_000)]
    after_ms = time.time_ns() // 1_000_000

    assert len(set(made)) == 1_000
    for message_id in made:
        parsed = uuid.UUID(message_id)
        assert parsed.version == 7
        assert parsed.variant == uuid.RFC_4122
        assert before_ms <= parsed.int >> 80 <= after_ms
        assert MESSAGE_ID.fullmatch(message_id)


def test_errors_travel_between_processes() -> None:
    invalid = InvalidEmail([("/subject", "is required"), ("", "is no object")], "m-1")
    many = PublishManyFailed({0: Receipt("a")}, {1: Unroutable("no queue", "b")})
    cut_short = PublishManyFailed(many.receipts, many.failures, is_cut_short=True)

    for error in (invalid, many, cut_short, many.failures[1]):
        copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
        assert str(copy) == str(error)
        assert copy.message_id == error.message_id
    assert invalid.violations == (("/subject", "is required"), ("", "is no object"))
    assert "  /subject: is required" in str(invalid)


def test_a_batch_says_that_no_more_was_taken_only_where_more_could_have_been() -> None:
    failed: Future[Receipt] = Future()
    late: Future[Receipt] = Future()
    failed.set_exception(NotPublished("closed"))
    batch, whole = Batch(), Batch()

    assert not batch.add(failed)
    assert whole.add(late)
    late.set_exception(NotPublished("closed"))
    with pytest.raises(
        PublishManyFailed, match=r"\(those after number 0 were not taken\)"
    ) as error:
        batch.wait()
    with pytest.raises(PublishManyFailed, match="were not confirmed; the first") as of_whole:
        whole.wait()

    assert error.value.is_cut_short
    assert not of_whole.value.is_cut_short


def test_a_window_bounds_messages_and_bytes_but_lets_a_large_one_go_alone() -> None:
    window = Window(2, 10)
    now = time.monotonic()

    assert window.enter(100, now)
    assert not window.enter(1, now)
    window.leave(100)
    assert window.enter(5, now)
    assert not window.enter(6, now)
    assert window.enter(5, now)
    assert not window.enter(0, now)
    window.squeeze_in(1)
    window.close()
    assert not window.enter(0, now)


def test_the_first_fate_of_a_message_stands() -> None:
    outgoing = Outgoing("email", "bulk", pika.BasicProperties(), b"", 0.0, Receipt("m-1"))

    outgoing.expire("too late")
    outgoing.reject("403")
    outgoing.confirm()

    assert isinstance(outgoing.future.exception(0), NotPublished)
