"""Where settings come from, and how a wrong one is named."""

from datetime import timedelta
from pathlib import Path

import pytest

from consumer.core.relay_url import RelayURL
from consumer.core.seal_keys import OpenKey, SealKey
from consumer.core.sender_policy import SenderPolicy
from consumer.settings import Settings, SettingsError, load_settings, settings_table

AMQP_URL = "amqp://hopmail:correct-horse@broker:5672/mail"
SMTP_URL = "smtp://relay-user:battery-staple@relay.example.org:587"
OPEN_KEY = OpenKey(b"o" * 32).to_text()
SECRETS = ("correct-horse", "battery-staple")


@pytest.fixture
def required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOPMAIL_AMQP_URL", AMQP_URL)
    monkeypatch.setenv("HOPMAIL_SMTP_URL", SMTP_URL)


def faults() -> tuple[str, ...]:
    with pytest.raises(SettingsError) as raised:
        load_settings()
    assert raised.value.__context__ is None, "it keeps an error that holds the secrets"
    return raised.value.lines


@pytest.mark.usefixtures("required")
def test_two_settings_are_enough() -> None:
    settings = load_settings()

    assert settings.amqp_urls == (AMQP_URL,)
    assert [relay.place for relay in settings.relays] == ["relay.example.org:587"]
    assert settings.retry_delays[0] == timedelta(seconds=30)
    assert settings.max_age == timedelta(days=5)
    assert (settings.smtp_sessions, settings.prefetch, settings.processes) == (4, 64, 2)
    assert settings.worker == 0
    assert settings.grace == timedelta(seconds=30)
    assert settings.metrics_dir == Path("/var/lib/hopmail/metrics")
    assert settings.state_dir == Path("/var/lib/hopmail")
    assert (settings.log_level, settings.log_format) == ("INFO", "auto")
    assert (settings.log_dir, settings.log_stdout) == (None, "yes")
    assert (settings.log_max_bytes, settings.log_keep) == (50_000_000, timedelta(days=14))


def test_what_is_missing_is_named_with_what_it_is_for() -> None:
    first, second = faults()

    assert first.startswith("HOPMAIL_AMQP_URL is missing. The broker: `amqp://")
    assert second.startswith("HOPMAIL_SMTP_URL is missing. The relay: `smtp://")


@pytest.mark.usefixtures("required")
def test_an_empty_value_is_none_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOPMAIL_METRICS_DIR", "")
    monkeypatch.setenv("HOPMAIL_AMQP_URL", "")

    (line,) = faults()

    assert line.startswith("HOPMAIL_AMQP_URL is missing")


@pytest.mark.usefixtures("required")
@pytest.mark.parametrize(("sessions", "prefetch"), [("1", 16), ("50", 800), ("100", 1600)])
def test_the_prefetch_follows_the_sessions(
    monkeypatch: pytest.MonkeyPatch, sessions: str, prefetch: int
) -> None:
    monkeypatch.setenv("HOPMAIL_SMTP_SESSIONS", sessions)

    assert load_settings().prefetch == prefetch


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("RETRY_DELAYS", "1s, 2m", (timedelta(seconds=1), timedelta(minutes=2))),
        ("MAX_AGE", "2h", timedelta(hours=2)),
        ("SMTP_SESSIONS", "100", 100),
        ("PREFETCH", "1", 1),
        ("PROCESSES", "64", 64),
        ("WORKER", "7", 7),
        ("GRACE", "10m", timedelta(minutes=10)),
        ("OPERATOR_LOGINS", "ops, admin,", frozenset({"ops", "admin"})),
        ("SENDER_POLICY", 'shop = ["*"]', SenderPolicy({"shop": frozenset({"*"})})),
        ("SENDER_POLICY", " None ", None),
        ("METRICS_DIR", "/var/lib/metrics", Path("/var/lib/metrics")),
        ("METRICS_DIR", "none", None),
        ("METRICS_DIR", " None ", None),
        ("STATE_DIR", "/srv/hopmail", Path("/srv/hopmail")),
        ("LOG_LEVEL", "debug", "DEBUG"),
        ("LOG_FORMAT", "JSON", "json"),
        ("LOG_DIR", "/var/log/hopmail", Path("/var/log/hopmail")),
        ("LOG_MAX_BYTES", "10000", 10_000),
        ("LOG_KEEP", "90d", timedelta(days=90)),
        ("LOG_STDOUT", "YES", "yes"),
        ("DEADLETTER_BODY", "Encrypt", "encrypt"),
        ("DEADLETTER_SEAL_KEY", SealKey(b"s" * 32).to_text(), SealKey(b"s" * 32)),
        ("DEADLETTER_OPEN_KEYS", OPEN_KEY, (OpenKey(b"o" * 32),)),
    ],
)
@pytest.mark.usefixtures("required")
def test_a_setting_is_read(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, expected: object
) -> None:
    monkeypatch.setenv(f"HOPMAIL_{name}", text)

    assert expected == getattr(load_settings(), name.lower())


@pytest.mark.parametrize(
    ("name", "text", "accepted"),
    [
        ("RETRY_DELAYS", "30", "30s, 2m, 1h or 5d"),
        ("RETRY_DELAYS", "30s,,2m", "30s, 2m, 1h or 5d"),
        ("RETRY_DELAYS", "30s,30s", "each step must be longer than the one before"),
        ("RETRY_DELAYS", "2m,30s", "each step must be longer than the one before"),
        ("RETRY_DELAYS", "1s,8d", "no step may be longer than 7d"),
        ("RETRY_DELAYS", ",".join(f"{n}s" for n in range(1, 18)), "at most 16"),
        ("MAX_AGE", "31d", "must be from 1m to 30d"),
        ("SMTP_SESSIONS", "0", "a whole number from 1 to 100"),
        ("SMTP_SESSIONS", "101", "a whole number from 1 to 100"),
        ("SMTP_SESSIONS", "four", "a whole number from 1 to 100"),
        ("SMTP_SESSIONS", "-1", "a whole number from 1 to 100"),
        ("PREFETCH", "2001", "a whole number from 1 to 2000"),
        ("PROCESSES", "65", "a whole number from 1 to 64"),
        ("WORKER", "1.5", "a whole number from 0 to 999"),
        ("GRACE", "11m", "must be from 1s to 10m"),
        ("SENDER_POLICY", "shop: x", "must be TOML: shop ="),
        ("SENDER_POLICY", " # nobody", "names no login"),
        ("SENDER_POLICY", "shop = 1", "'shop' must have a list of addresses"),
        ("LOG_LEVEL", "verbose", "must be one of DEBUG, INFO, WARNING, ERROR"),
        ("LOG_FORMAT", "xml", "must be one of auto, json, human"),
        ("LOG_MAX_BYTES", "9999", "a whole number from 10000 to 999999999"),
        ("LOG_KEEP", "59m", "must be from 1h to 3660d"),
        ("LOG_STDOUT", "off", "must be one of yes, no"),
        ("DEADLETTER_BODY", "drop", "must be one of keep, redact, encrypt"),
        ("LOG_STDOUT", "no", "needs HOPMAIL_LOG_DIR: the log must go somewhere"),
    ],
)
@pytest.mark.usefixtures("required")
def test_a_wrong_value_is_one_line_with_what_is_accepted(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, accepted: str
) -> None:
    monkeypatch.setenv(f"HOPMAIL_{name}", text)

    (line,) = faults()

    assert line.startswith(f"HOPMAIL_{name}: given {text!r}; ")
    assert accepted in line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("foo", "'foo'"),
        ("sqlite:///a/ledger?durable=maybe", "'sqlite:///a/ledger?durable=maybe'"),
        ("/var/lib/ledger", "'/var/lib/ledger'"),
        ("redis://ada:battery-staple@h/x", "'redis://ada:***@h/x'"),
        ("redis://ada:battery-staple", "'***'"),
        ("battery-staple", "'***'"),
        ("ada:battery-staple@h", "'***'"),
        ("sqlite:///ada:battery-staple@h/", "'***'"),
        ("sqlite:///a?battery-staple=", "'***'"),
    ],
)
@pytest.mark.usefixtures("required")
def test_a_wrong_ledger_is_shown_unless_it_may_hold_a_password(
    monkeypatch: pytest.MonkeyPatch, text: str, shown: str
) -> None:
    monkeypatch.setenv("HOPMAIL_LEDGER_URL", text)

    (line,) = faults()

    assert line.startswith(f"HOPMAIL_LEDGER_URL: given {shown}; ")


@pytest.mark.parametrize("name", ["DEADLETTER_SEAL_KEY", "DEADLETTER_OPEN_KEYS"])
@pytest.mark.parametrize("given", [OPEN_KEY, OPEN_KEY[:-4], OPEN_KEY.removeprefix("hopmail-open-")])
@pytest.mark.usefixtures("required")
def test_a_key_that_opens_is_shown_nowhere(
    monkeypatch: pytest.MonkeyPatch, name: str, given: str
) -> None:
    monkeypatch.setenv(f"HOPMAIL_{name}", given)

    if (name, given) == ("DEADLETTER_OPEN_KEYS", OPEN_KEY):
        shown = repr(load_settings())
    else:
        (shown,) = faults()
        assert shown.startswith(f"HOPMAIL_{name}: given '***'; ")
    assert given[-20:-6] not in shown


@pytest.mark.usefixtures("required")
def test_keys_that_open_are_read_from_their_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = OpenKey(b"p" * 32)
    (tmp_path / "keys").write_text(f"# the first\n{OPEN_KEY}\n# the second\n{other.to_text()}\n")
    monkeypatch.setenv("HOPMAIL_DEADLETTER_OPEN_KEYS_FILE", str(tmp_path / "keys"))

    assert load_settings().deadletter_open_keys == (OpenKey(b"o" * 32), other)


@pytest.mark.usefixtures("required")
def test_a_retention_too_short_for_the_retries_is_named_as_it_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOPMAIL_MAX_AGE", "20d")

    (line,) = faults()

    assert line.startswith("HOPMAIL_LEDGER_RETENTION: given '14d'; must be longer than 20d4h, HOPM")


def test_all_faults_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOPMAIL_AMQP_URL", "http://broker")
    monkeypatch.setenv("HOPMAIL_SMTP_SESSIONS", "0")
    monkeypatch.setenv("HOPMAIL_GRACE", "soon")
    monkeypatch.setenv("HOPMAIL_RETRY_DELAY", "1s")

    assert [line.split()[0].rstrip(":") for line in faults()] == [
        "HOPMAIL_RETRY_DELAY",
        "HOPMAIL_AMQP_URL",
        "HOPMAIL_SMTP_URL",
        "HOPMAIL_SMTP_SESSIONS",
        "HOPMAIL_GRACE",
    ]


@pytest.mark.parametrize(
    "url",
    [
        "http://user:correct-horse@broker",
        "amqp://user:correct-horse@broker:0",
        "amqp://user:correct-horse@broker:99999/x",
        "amqp://user:correct-horse@:5672",
        "amqp://user:correct-horse@a..b",
        "amqp://user:correct-horse%00@broker",
        "amqp://user:correct-horse@broker/a/b",
        "amqp://user:correct-horse/x@broker",
        "amqp://user:correct-horse#x@broker",
        "amqp://user:correct-horse?x@broker",
        "amqp://user:correct-horse@x@broker:z",
        "amqp://user:correct-horse",
        "amqp://:correct-horse@broker",
        "amqp://broker?password=correct-horse",
        "amqp://broker?heartbeat=correct-horse",
        "amqp://broker?ssl_options=correct-horse",
        "amqp://broker?ssl_options=['correct-horse']",
        "amqp://broker?tcp_options={[]:'correct-horse'}",
        "amqp://broker?ssl_options={'a':'correct-horse'}",
        "amqps://broker?ssl_options={'ca_certs':'/correct-horse'}",
        "amqps://broker?ssl_options={'protocol': 2, 'password': 'correct-horse'}",
        "amqps://broker?cacertfile=correct-horse",
        "amqps://broker?certfile=",
        "amqps://broker?keyfile=/correct-horse",
        "amqps://broker?cacertfile=/correct-horse&cacertfile=/correct-horse",
        "amqps://broker?server_name_indication=correct-horse..x",
        "amqps://broker?server_name_indication=disable",
        "amqps://broker?verify=verify_none",
        "amqps://broker?verify=correct-horse",
        "amqps://broker?cacertfile=/correct-horse&ssl_options={}",
        "amqp://broker?cacertfile=/correct-horse",
        "amqp://[correct-horse",
        "amqp://user:correct-horse ü@broker",
        "amqp://good:correct-horse@broker,amqp://bad:correct-horse@:1",
        "amqp://user@broker",
        "amqp://one:correct-horse@n1,amqp://two:correct-horse@n2",
        "correct-horse",
    ],
)
@pytest.mark.usefixtures("required")
def test_a_wrong_broker_url_never_shows_its_password(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("HOPMAIL_AMQP_URL", url)

    (line,) = faults()

    assert line.startswith("HOPMAIL_AMQP_URL: given ")
    assert "correct-horse" not in line


@pytest.mark.parametrize(
    "url",
    [
        "http://user:battery-staple@relay",
        "smtp://user:battery-staple",
        "smtp://user:battery-staple@relay:x",
        "smtp://user:battery-staple/x@relay",
        "smtp://user:battery-staple@relay?tls=none",
        "smtp://relay?password=battery-staple",
        "smtp://user:battery-staple@relay,smtp://user:battery-staple@relay",
        "battery-staple",
    ],
)
@pytest.mark.usefixtures("required")
def test_a_wrong_relay_url_never_shows_its_password(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("HOPMAIL_SMTP_URL", url)

    (line,) = faults()

    assert line.startswith("HOPMAIL_SMTP_URL: given ")
    assert "battery-staple" not in line


@pytest.mark.parametrize(
    ("name", "text", "shown"),
    [
        ("MAX_AGE", SMTP_URL, "'smtp://relay-user:***@relay.example.org:587'"),
        ("LOG_LEVEL", f" {SMTP_URL} ", "'smtp://relay-user:***@relay.example.org:587'"),
        ("GRACE", "relay-user:battery-staple@relay", "'***'"),
        ("WORKER", "battery-staple://x", "'***'"),
        ("RETRY_DELAYS", f"30s,{SMTP_URL}", "'***,smtp://relay-user:***@relay.example.org:587'"),
        ("PROCESSES", f"{'battery-staple,' * 10}@relay", "'***'"),
    ],
)
@pytest.mark.usefixtures("required")
def test_a_url_given_for_another_setting_never_shows_its_password(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, shown: str
) -> None:
    monkeypatch.setenv(f"HOPMAIL_{name}", text)

    (line,) = faults()

    assert line.startswith(f"HOPMAIL_{name}: given {shown}; ")
    assert "battery-staple" not in line


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (SMTP_URL, "'smtp://relay-user:***@relay.example.org:587'"),
        ("relay-user:battery-staple@relay", "'***'"),
    ],
)
def test_a_url_given_for_a_file_never_shows_its_password(
    monkeypatch: pytest.MonkeyPatch, given: str, shown: str
) -> None:
    monkeypatch.setenv("HOPMAIL_AMQP_URL", AMQP_URL)
    monkeypatch.setenv("HOPMAIL_SMTP_URL_FILE", given)

    assert faults() == (
        (
            f"HOPMAIL_SMTP_URL cannot be read from {shown} (HOPMAIL_SMTP_URL_FILE):"
            " No such file or directory"
        ),
    )


@pytest.mark.usefixtures("required")
def test_a_url_in_a_mistyped_name_never_shows_its_password() -> None:
    Path(".env").write_text(f"HOPMAIL_SMTP_URL:{SMTP_URL}?tls=none\n")

    (line,) = faults()

    assert line.startswith("*** is no setting")
    assert "battery-staple" not in line.casefold()


@pytest.mark.usefixtures("required")
def test_relays_are_parted_by_commas_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "HOPMAIL_SMTP_URL", "smtp://u:p%2Csmtp%3A%2F%2Fq@a?rate=5, smtps://u:a,b@b ,SMTP://a:25"
    )

    relays = load_settings().relays

    assert [relay.place for relay in relays] == ["a:587", "b:465", "a:25"]
    assert [relay.password for relay in relays if isinstance(relay, RelayURL)] == [
        "p,smtp://q",
        "a,b",
        None,
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("smtp://a,smtp://b?rate=fast", "relay 2: the option rate must be messages per second"),
        ("smtp://a,smtp://u:battery-staple@b:x", "relay 2: the port must be a number"),
        ("smtp://a,http://u:battery-staple@b", "relay 2: the scheme must be smtp or smtps"),
        ("smtp://u:battery-staple@a?sessions=0,smtp://b", "relay 1: the option sessions must be"),
        ("smtp://a,", "the host must be a name"),
        ("smtp://a,b", "the host must be a name"),
        ("smtp://a, smtp://A:587", "a:587 is named twice"),
    ],
)
@pytest.mark.usefixtures("required")
def test_what_is_wrong_with_one_relay_is_said_of_it(
    monkeypatch: pytest.MonkeyPatch, text: str, problem: str
) -> None:
    monkeypatch.setenv("HOPMAIL_SMTP_URL", text)

    (line,) = faults()

    assert problem in line
    assert line.startswith("HOPMAIL_SMTP_URL: given '")
    assert "battery-staple" not in line


@pytest.mark.usefixtures("required")
def test_nodes_of_a_cluster_are_parted_by_commas_and_a_password_may_hold_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOPMAIL_AMQP_URL", "amqp://t%40o:a,b@n1/%2F, amqps://t%40o:c@n2:5671")
    monkeypatch.setenv("HOPMAIL_OPERATOR_LOGINS", "ops")

    settings = load_settings()

    assert settings.amqp_urls == ("amqp://t%40o:a,b@n1/%2F", "amqps://t%40o:c@n2:5671")
    assert settings.login == "t@o"
    assert settings.trusted_logins == {"t@o", "ops"}


@pytest.mark.usefixtures("required")
def test_a_broker_s_certificates_are_named_as_rabbitmq_names_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = (
        "amqps://a:b@broker/?cacertfile=/etc/ca.pem&certfile=/etc/me.pem&keyfile=/etc/me%2Bkey.pem"
        "&server_name_indication=broker.example&verify=verify_peer&heartbeat=5"
    )
    monkeypatch.setenv("HOPMAIL_AMQP_URL", url)

    assert load_settings().amqp_urls == (url,)


@pytest.mark.usefixtures("required")
def test_an_empty_file_of_a_policy_is_no_leave_to_send(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "senders.toml").write_text("\n")
    monkeypatch.setenv("HOPMAIL_SENDER_POLICY_FILE", str(tmp_path / "senders.toml"))

    (line,) = faults()

    assert "names no login" in line


@pytest.mark.usefixtures("required")
def test_the_broker_s_default_login_is_trusted_where_no_other_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOPMAIL_AMQP_URL", "amqp://localhost?heartbeat=10&tcp_options={}")

    assert load_settings().trusted_logins == {"guest"}


@pytest.mark.usefixtures("required")
def test_settings_show_no_password() -> None:
    shown = repr(load_settings())

    assert "amqp://hopmail:***@broker:5672/mail" in shown
    assert not [secret for secret in SECRETS if secret in shown]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("HOPMAIL_SMTP_SESSION", "; did you mean HOPMAIL_SMTP_SESSIONS?"),
        ("HOPMAIL_SMPT_URL_FILE", "; did you mean HOPMAIL_SMTP_URL_FILE?"),
        ("HOPMAIL_XYZZY", ""),
    ],
)
@pytest.mark.usefixtures("required")
def test_a_mistyped_name_is_told(monkeypatch: pytest.MonkeyPatch, name: str, expected: str) -> None:
    monkeypatch.setenv(name, "1")

    assert faults() == (f"{name} is no setting{expected}",)


@pytest.mark.usefixtures("required")
def test_a_mistyped_name_in_the_env_file_is_told() -> None:
    Path(".env").write_text("HOPMAIL_GRAICE=1s\nOTHER=fine\n")

    assert faults() == ("HOPMAIL_GRAICE is no setting; did you mean HOPMAIL_GRACE?",)


@pytest.mark.usefixtures("required")
def test_the_tests_own_variables_are_let_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOPMAIL_TEST_AMQP_URL", "amqp://x")

    assert isinstance(load_settings(), Settings)


@pytest.mark.usefixtures("required")
def test_the_environment_stands_before_the_env_file_and_that_before_docker_secrets(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    for name in ("hopmail_worker", "hopmail_processes", "hopmail_prefetch"):
        (secrets / name).write_text("1\n")
    Path(".env").write_text("HOPMAIL_WORKER=2\nHOPMAIL_PROCESSES=2\n")
    monkeypatch.setenv("HOPMAIL_WORKER", "3")

    settings = load_settings()

    assert (settings.worker, settings.processes, settings.prefetch) == (3, 2, 1)


def test_secrets_come_from_files_that_variables_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "amqp").write_text(f"  {AMQP_URL}\n\n")
    (tmp_path / "smtp").write_text(SMTP_URL)
    monkeypatch.setenv("HOPMAIL_AMQP_URL_FILE", str(tmp_path / "amqp"))
    Path(".env").write_text(f"HOPMAIL_SMTP_URL_FILE={tmp_path / 'smtp'}\n")

    settings = load_settings()

    assert settings.amqp_urls == (AMQP_URL,)
    (relay,) = settings.relays
    assert isinstance(relay, RelayURL)
    assert relay.password == "battery-staple"


@pytest.mark.usefixtures("required")
def test_a_value_given_twice_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "amqp").write_text(AMQP_URL)
    monkeypatch.setenv("HOPMAIL_AMQP_URL_FILE", str(tmp_path / "amqp"))

    assert faults() == (
        (
            "HOPMAIL_AMQP_URL is given twice, by HOPMAIL_AMQP_URL and by HOPMAIL_AMQP_URL_FILE;"
            " leave one out"
        ),
    )


def test_a_file_that_cannot_be_read_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    monkeypatch.setenv("HOPMAIL_AMQP_URL_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("HOPMAIL_SMTP_URL_FILE", str(tmp_path / "binary"))

    first, second = faults()

    assert first == (
        f"HOPMAIL_AMQP_URL cannot be read from '{tmp_path}/none' (HOPMAIL_AMQP_URL_FILE):"
        " No such file or directory"
    )
    assert second.endswith("(HOPMAIL_SMTP_URL_FILE): it is not UTF-8")


@pytest.mark.usefixtures("required")
def test_an_env_file_that_is_no_text_is_told() -> None:
    Path(".env").write_bytes(b"HOPMAIL_GRACE=\xff\xfe")

    (line,) = faults()

    assert line.startswith(".env or ")


@pytest.mark.usefixtures("required")
def test_the_table_has_every_setting_with_its_default_and_meaning() -> None:
    table = {name: (default, meaning) for name, default, meaning in settings_table()}

    assert len(Settings.model_fields) == len(table)
    assert table["HOPMAIL_RETRY_DELAYS"][0] == "30s,2m,10m,30m,1h,2h,4h"
    assert all(meaning for _default, meaning in table.values())
