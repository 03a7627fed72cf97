"""The options by which a person says which dead letters are meant."""

from typing import Annotated

import typer

from consumer.core.dead_letter_choice import Choice
from consumer.core.death import RABBITMQ, UNKNOWN
from consumer.core.disposition import Reason
from consumer.core.durations import parse_duration
from publisher_lib.routing import Lane

REASONS = ", ".join(reason.value for reason in Reason)

IDs = Annotated[
    list[str] | None, typer.Argument(help="Message ids, or dead letters' own as `list` shows them.")
]
ReasonOption = Annotated[
    list[str] | None, typer.Option("--reason", help="Why they lie there; may be given again.")
]
LaneOption = Annotated[list[Lane] | None, typer.Option("--lane", help="Of this lane.")]
DomainOption = Annotated[
    list[str] | None, typer.Option("--domain", help="With a recipient there; may be given again.")
]
LoginOption = Annotated[
    list[str] | None, typer.Option("--login", help="Published under this broker login.")
]
OlderOption = Annotated[
    str | None, typer.Option("--older-than", help="Dead for longer than 30s, 2m, 1h or 5d.")
]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
JSONOption = Annotated[bool, typer.Option("--json", help="For scripts.")]


def chosen(
    ids: list[str] | None = None,
    *,
    reasons: list[str] | None = None,
    lanes: list[Lane] | None = None,
    domains: list[str] | None = None,
    logins: list[str] | None = None,
    older_than: str | None = None,
) -> Choice:
    """Return what the options mean. Raises BadParameter."""
    for reason in reasons or ():
        known = reason in {*Reason, UNKNOWN} or reason.startswith(RABBITMQ)
        if not known:
            raise typer.BadParameter(f"there is no reason {reason!r}: use one of {REASONS}")
    try:
        age = None if older_than is None else parse_duration(older_than)
    except ValueError as error:
        raise typer.BadParameter(f"--older-than: {error}") from None
    return Choice(
        ids=frozenset(ids or ()),
        reasons=frozenset(reasons or ()),
        lanes=frozenset(lanes or ()),
        domains=frozenset(domain.lower().removeprefix("@") for domain in domains or ()),
        logins=frozenset(logins or ()),
        older_than=age,
    )
