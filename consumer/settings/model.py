"""Every setting: its variable, default, bounds and meaning. README's table is held against it."""

from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field

from consumer.core.diversion import Diversion, read_address, read_allowed
from consumer.core.folder_url import FolderURL
from consumer.core.ledger_url import LedgerURL
from consumer.core.relay_url import RelayURL
from consumer.core.seal_keys import OpenKey, SealKey, read_open_keys, read_seal_key
from consumer.core.sender_policy import SenderPolicy
from consumer.settings.amqp_url import login_of, read_amqp_urls
from consumer.settings.dependent import (
    PREFETCH_PER_SESSION,
    goes_somewhere,
    ledger_in_state,
    metrics_in_state,
    outlives_retries,
    prefetch_of,
)
from consumer.settings.mask import mask_urls
from consumer.settings.read import (
    duration,
    duration_or_none,
    one_of,
    read_folder,
    read_ladder,
    read_logins,
    read_relays,
    read_sender_policy,
    read_state_folder,
    reads,
    whole_number,
)
from consumer.settings.sources import FromOutside

PREFIX: Final = "HOPMAIL_"

MAX_SESSIONS: Final = 100
"""Per process. Relays allow fewer from one client; each is a thread, with a mail in memory."""

MAX_PROCESSES: Final = 64
MAX_WORKER: Final = 999

MIN_LOG_BYTES: Final = 10_000
MAX_LOG_BYTES: Final = 999_999_999

MAX_PREFETCH: Final = 2000
"""What RabbitMQ 4 caps a quorum queue's prefetch at (https://www.rabbitmq.com/docs/quorum-queues)."""


def _setting(name: str, meaning: str, default: str | Callable[..., str] | None = None) -> Any:
    """Declare a setting; its default is text as well, read as if it had been given."""
    known: dict[str, Any] = {"validation_alias": PREFIX + name, "description": meaning}
    if callable(default):
        return Field(default_factory=default, **known)
    return Field(**known) if default is None else Field(default=default, **known)


class Settings(FromOutside):
    """The settings, read and within their bounds."""

    amqp_urls: Annotated[tuple[str, ...], reads(read_amqp_urls)] = _setting(
        "AMQP_URL",
        "The broker: `amqp://user:password@host:5672/virtualhost` or `amqps://…`;"
        " several nodes of a cluster comma-separated",
    )
    relays: Annotated[tuple[RelayURL | FolderURL, ...], reads(read_relays)] = _setting(
        "SMTP_URL",
        "The relay: `smtp://user:password@host:587?tls=required` or `smtps://…`;"
        " several comma-separated, the preferred one first. For development `file:///folder`",
    )
    retry_delays: Annotated[tuple[timedelta, ...], reads(read_ladder)] = _setting(
        "RETRY_DELAYS",
        "The wait before each further attempt; 1 to 16 ascending steps of at most 7d",
        "30s,2m,10m,30m,1h,2h,4h",
    )
    max_age: Annotated[timedelta, reads(duration(timedelta(minutes=1), timedelta(days=30)))] = (
        _setting("MAX_AGE", "How long after its publishing a message is still retried", "5d")
    )
    state_dir: Annotated[Path, reads(read_state_folder)] = _setting(
        "STATE_DIR", "Folder for what this host's workers share and keep", "/var/lib/hopmail"
    )
    ledger: Annotated[LedgerURL, reads(LedgerURL.parse)] = _setting(
        "LEDGER_URL",
        "What keeps mail from going out twice: `sqlite:///path`, shared by all workers of a host;"
        " `redis://…`, shared by several hosts; `none`. By default a file in the state folder",
        ledger_in_state,
    )
    ledger_retention: Annotated[
        timedelta,
        reads(duration(timedelta(days=1), timedelta(days=366))),
        AfterValidator(outlives_retries),
    ] = _setting(
        "LEDGER_RETENTION",
        "How long the ledger remembers; older messages are dead-lettered as `too_old`",
        "14d",
    )
    deadletter_retention: Annotated[
        timedelta | None, reads(duration_or_none(timedelta(days=1), timedelta(days=3660)))
    ] = _setting(
        "DEADLETTER_RETENTION",
        "How long a dead letter is kept; older ones are removed an hour after the log announced it;"
        " `none`: for ever",
        "none",
    )
    if_uncertain: Annotated[Literal["resend", "hold"], reads(one_of("resend", "hold"))] = _setting(
        "IF_UNCERTAIN",
        "For mails that do not say: `resend` or `hold` what the relay may have taken",
        "resend",
    )
    smtp_sessions: Annotated[int, reads(whole_number(1, MAX_SESSIONS))] = _setting(
        "SMTP_SESSIONS", "SMTP sessions per process, 1 to 100; 1 keeps the order", "4"
    )
    prefetch: Annotated[int, reads(whole_number(1, MAX_PREFETCH))] = _setting(
        "PREFETCH",
        "Transactional messages held per process, 1 to 2000, and a quarter of it of bulk;"
        f" by default {PREFETCH_PER_SESSION} per session",
        prefetch_of,
    )
    processes: Annotated[int, reads(whole_number(1, MAX_PROCESSES))] = _setting(
        "PROCESSES",
        "Consumer processes that `hopmail run` keeps running, 1 to 64; each keeps to one CPU",
        "2",
    )
    worker: Annotated[int, reads(whole_number(0, MAX_WORKER))] = _setting(
        "WORKER", "This process's number on its host; `hopmail run` sets it", "0"
    )
    grace: Annotated[timedelta, reads(duration(timedelta(seconds=1), timedelta(minutes=10)))] = (
        _setting("GRACE", "Time for mails under way to be finished after SIGTERM", "30s")
    )
    operator_logins: Annotated[frozenset[str], reads(read_logins)] = _setting(
        "OPERATOR_LOGINS",
        "Further broker logins, comma-separated, whose `x-hopmail-*` headers are believed",
        "",
    )
    sender_policy: Annotated[SenderPolicy | None, reads(read_sender_policy)] = _setting(
        "SENDER_POLICY",
        "Which login may use which `email_from`, as TOML, a line for each login:"
        ' `shop = ["@shop.example", "news@example.org"]`; `none`: any may use any',
        "none",
    )
    metrics_dir: Annotated[Path | None, reads(read_folder)] = _setting(
        "METRICS_DIR",
        "Folder for the `.prom` files node_exporter reads; `none`: no metrics."
        " By default `metrics` in the state folder",
        metrics_in_state,
    )
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"],
        reads(one_of("DEBUG", "INFO", "WARNING", "ERROR")),
    ] = _setting("LOG_LEVEL", "`DEBUG`, `INFO`, `WARNING` or `ERROR`", "INFO")
    log_format: Annotated[
        Literal["auto", "json", "human"], reads(one_of("auto", "json", "human"))
    ] = _setting("LOG_FORMAT", "`json`, `human`, or `auto`: human on a terminal", "auto")
    log_dir: Annotated[Path | None, reads(read_folder)] = _setting(
        "LOG_DIR",
        "Folder for the log's archive, compressed files of each process; `none`: no archive",
        "none",
    )
    log_max_bytes: Annotated[int, reads(whole_number(MIN_LOG_BYTES, MAX_LOG_BYTES))] = _setting(
        "LOG_MAX_BYTES",
        "Size at which a file of the archive is closed and compressed; each day another begins",
        "50000000",
    )
    log_keep: Annotated[timedelta, reads(duration(timedelta(hours=1), timedelta(days=3660)))] = (
        _setting("LOG_KEEP", "How long a file of the archive is kept after its last line", "14d")
    )
    log_stdout: Annotated[
        Literal["yes", "no"], reads(one_of("yes", "no")), AfterValidator(goes_somewhere)
    ] = _setting(
        "LOG_STDOUT", "`no`: to standard output only while the archive cannot be written", "yes"
    )

    # For development and staging.
    divert_to: Annotated[str | None, reads(read_address)] = _setting(
        "DIVERT_TO", "For staging: one address that gets all mail, in place of its recipients", ""
    )
    allowed_recipients: Annotated[frozenset[str] | None, reads(read_allowed)] = _setting(
        "ALLOWED_RECIPIENT_DOMAINS",
        "For staging: domains and addresses, comma-separated, that alone get their mail; that of"
        " others goes to `HOPMAIL_DIVERT_TO`, or is dead-lettered as `recipient_not_allowed`",
        "",
    )

    deadletter_body: Annotated[
        Literal["keep", "redact", "encrypt"], reads(one_of("keep", "redact", "encrypt"))
    ] = _setting(
        "DEADLETTER_BODY",
        "Of dead letters: `keep` the body; `redact`: an outline takes its place, and it cannot be"
        " sent again; `encrypt` it",
        "keep",
    )
    deadletter_seal_key: Annotated[SealKey | None, reads(read_seal_key)] = _setting(
        "DEADLETTER_SEAL_KEY",
        "For `encrypt`: the key that seals and cannot open, of `hopmail deadletters keygen`",
        "",
    )
    deadletter_open_keys: Annotated[tuple[OpenKey, ...], reads(read_open_keys)] = _setting(
        "DEADLETTER_OPEN_KEYS",
        "Where sealed dead letters are read, never with the consumers: the keys that open them",
        "",
    )

    @property
    def diversion(self) -> Diversion | None:
        """Who may get mail; None: everybody."""
        if self.divert_to is None and self.allowed_recipients is None:
            return None
        return Diversion(self.divert_to, self.allowed_recipients)

    @property
    def login(self) -> str:
        """The consumer's own at the broker; it signs what the consumer publishes."""
        return login_of(self.amqp_urls[0])

    @property
    def trusted_logins(self) -> frozenset[str]:
        """Whose `x-hopmail-*` headers are believed: the consumer's own login and operators'."""
        return self.operator_logins | {self.login}

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            yield name, mask_urls(",".join(value)) if name == "amqp_urls" else value


def variables() -> tuple[str, ...]:
    """Return the name of every setting's variable."""
    return tuple(name for name, _default, _meaning in settings_table())


def settings_table() -> tuple[tuple[str, str, str], ...]:
    """Return each setting's variable, its default as text (empty: none), and its meaning."""
    return tuple(
        (
            str(field.validation_alias),
            field.default if isinstance(field.default, str) else "",
            field.description or "",
        )
        for field in Settings.model_fields.values()
    )
