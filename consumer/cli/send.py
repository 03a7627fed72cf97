"""`hopmail send`: an email published from the shell."""

import json
import logging
from collections.abc import Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, Final

import typer

from consumer.cli.asking import fail
from consumer.cli.email_options import email_of, option_lines
from consumer.cli.reading import read
from consumer.cli.start import settings_or_exit
from consumer.cli.violations import violation_lines
from consumer.core.contract import parse
from consumer.core.durations import parse_duration
from consumer.core.exit_code import ExitCode
from consumer.core.outcome import Undecodable
from publisher_lib import (
    Email,
    InvalidEmail,
    Lane,
    NotPublished,
    OutcomeUnknown,
    Publisher,
    PublishError,
    Rejected,
    Unroutable,
)

APP_ID: Final = "hopmail send"
UNNEEDED: Final = ("HOPMAIL_SMTP_URL",)

CURES: Final[Mapping[type[PublishError], str]] = {
    Unroutable: "run `hopmail topology apply`, or start the consumer",
    Rejected: "a full queue: wait; no right: this login needs to write to the exchange `email`;"
    " no exchange: `hopmail topology apply`",
    NotPublished: "see `hopmail check`, and send it again",
    OutcomeUnknown: "send it again with the same --message-id: it goes out once",
}


class IfUncertain(StrEnum):
    """As the contract has it."""

    RESEND = "resend"
    HOLD = "hold"


Several = list[str] | None


def send(
    body: Annotated[
        str | None, typer.Argument(metavar="[-]", help="-: the text comes from stdin.")
    ] = None,
    *,
    file: Annotated[
        str | None,
        typer.Option(
            "--file", metavar="FILE", help="A whole email as JSON; -: from stdin. No other with it."
        ),
    ] = None,
    to: Annotated[
        Several, typer.Option("--to", metavar="MAILBOX", help="Whom it goes to; again for more.")
    ] = None,
    from_: Annotated[
        str | None, typer.Option("--from", metavar="MAILBOX", help="Who sends it.")
    ] = None,
    subject: Annotated[str | None, typer.Option("--subject", help="Its subject.")] = None,
    text: Annotated[str | None, typer.Option("--text", help="What it says.")] = None,
    text_file: Annotated[
        str | None, typer.Option("--text-file", metavar="FILE", help="The same, from a file.")
    ] = None,
    html_file: Annotated[
        str | None, typer.Option("--html-file", metavar="FILE", help="The same as HTML.")
    ] = None,
    cc: Annotated[
        Several, typer.Option("--cc", metavar="MAILBOX", help="A copy for all to see.")
    ] = None,
    bcc: Annotated[
        Several, typer.Option("--bcc", metavar="MAILBOX", help="A copy nobody else sees.")
    ] = None,
    reply_to: Annotated[
        Several, typer.Option("--reply-to", metavar="MAILBOX", help="Where answers go.")
    ] = None,
    header: Annotated[
        Several, typer.Option("--header", metavar="NAME:VALUE", help="Another header field.")
    ] = None,
    attach: Annotated[
        Several, typer.Option("--attach", metavar="FILE", help="A file; again for more.")
    ] = None,
    send_at: Annotated[
        str | None, typer.Option("--send-at", metavar="WHEN", help="2027-01-31T08:00:00Z, or 2h.")
    ] = None,
    expires_at: Annotated[
        str | None, typer.Option("--expires-at", metavar="WHEN", help="Not to be sent from then.")
    ] = None,
    if_uncertain: Annotated[
        IfUncertain | None,
        typer.Option("--if-uncertain", help="If the relay may have it: again, or to a person."),
    ] = None,
    lane: Annotated[Lane, typer.Option("--lane", help="Which lane takes it.")] = Lane.TRANSACTIONAL,
    message_id: Annotated[
        str | None,
        typer.Option("--message-id", metavar="ID", help="Its key; without it one is made."),
    ] = None,
    timeout: Annotated[
        str, typer.Option("--timeout", metavar="DURATION", help="How long to wait for the broker.")
    ] = "10s",
    as_json: Annotated[bool, typer.Option("--json", help="For scripts: one JSON object.")] = False,
) -> None:
    """Publish an email from the shell, and print its message id.

    The broker has confirmed it then. The email is made of options, or is a --file. It is
    published under the login of HOPMAIL_AMQP_URL; no other setting is needed.
    """
    options = {
        "to": to,
        "from": from_,
        "subject": subject,
        "text": text,
        "text_file": "-" if body == "-" else text_file,
        "html_file": html_file,
        "cc": cc,
        "bcc": bcc,
        "reply_to": reply_to,
        "header": header,
        "attach": attach,
        "send_at": send_at,
        "expires_at": expires_at,
        "if_uncertain": if_uncertain and str(if_uncertain),
    }
    _refuse_contradictions(body, file, text_file, options)
    try:
        wait = parse_duration(timeout)
        raw = read(file) if file else json.dumps(email_of(options)).encode()
    except OSError as error:
        fail(f"{error.filename or file}: {error.strerror}")
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    found = parse(raw)
    if isinstance(found, Undecodable):
        typer.echo(f"✗ not published, the email breaks the contract: {found.defect}", err=True)
        for line in violation_lines(found, raw) if file else option_lines(found):
            typer.echo(line, err=True)
        raise typer.Exit(ExitCode.FAILED)
    settings = settings_or_exit(UNNEEDED)
    sent = _publish(settings.amqp_urls, found, lane, message_id, wait)
    typer.echo(json.dumps({"message_id": sent, "lane": str(lane)}) if as_json else sent)


def _refuse_contradictions(
    body: str | None, file: str | None, text_file: str | None, options: Mapping[str, Any]
) -> None:
    if body not in {None, "-"}:
        raise typer.BadParameter("the text is given by --text, or as - from stdin")
    given = [name for name, value in options.items() if value]
    if file and given:
        raise typer.BadParameter("--file is a whole email: no option may add to it")
    if not file and not given:
        raise typer.BadParameter("say --to, --from, --subject and --text, or --file mail.json")
    texts = (options["text"], text_file, body)
    if sum(each is not None for each in texts) > 1:
        raise typer.BadParameter("--text, --text-file and - do not go together")
    if "-" in {text_file, body} and options["html_file"] == "-":
        raise typer.BadParameter("only one of text and HTML can come from stdin")


def _publish(
    urls: Sequence[str], email: Email, lane: Lane, message_id: str | None, wait: timedelta
) -> str:
    # A person reads our own line; what was logged on the way says it again.
    logging.getLogger().addHandler(logging.NullHandler())
    try:
        with Publisher(urls, app_id=APP_ID, timeout=wait) as publisher:
            return publisher.publish(email, lane=lane, message_id=message_id).message_id
    except InvalidEmail as error:
        # The email itself is known to be well.
        told = "; ".join(sentence for _pointer, sentence in error.violations)
        fail(f"not published: --message-id {told}")
    except PublishError as error:
        known = f" (message id {error.message_id})" if error.message_id else ""
        said = "perhaps published" if isinstance(error, OutcomeUnknown) else "not published"
        fail(f"{said}{known}: {str(error).removeprefix('not published: ')}; {CURES[type(error)]}")
