"""What `hopmail status` shows of one moment."""

import io
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest
from rich.console import Console

from consumer.cli.status_page import page
from consumer.core.paused import Paused
from consumer.core.status import Status
from publisher_lib.routing import Lane
from tests.core.test_status import NOW, WELL, worker

BY_ADA = Paused("ada@mail-a", "the relay's owner asks", NOW - timedelta(minutes=3))


def shown(status: Status) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(page(status))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("holds", "paused", "state"),
    [
        ((), {}, "consuming"),
        (("ledger", "relay"), {}, "held: ledger, relay"),
        (("paused",), {Lane.BULK: BY_ADA}, "bulk paused"),
        (("paused",), dict.fromkeys(Lane, BY_ADA), "transactional and bulk paused"),
        (("paused",), {}, "paused"),
        (("paused", "relay"), {Lane.BULK: BY_ADA}, "held: relay"),
    ],
)
def test_why_a_worker_takes_no_mail(
    holds: tuple[str, ...], paused: Mapping[Lane, Paused], state: str
) -> None:
    text = shown(replace(WELL, workers=(worker(0, holds=holds),), paused=paused))

    assert f"mail-a-0   {state} " in text
