"""What stands in the way of mail, by what was seen."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from consumer.core.obstacles import LATE, flows, obstacles, remarks
from consumer.core.outcome import Stage
from consumer.core.paused import Paused
from consumer.core.status import SILENT, QueueSeen, Status, WorkerSeen
from consumer.core.trouble import Trouble
from consumer.core.waiting import Kind, Place
from publisher_lib.routing import Lane

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MAIL = Lane.TRANSACTIONAL
LANE = Place("email.transactional.v1", Kind.LANE, MAIL)
DEAD = Place("email.dead.v1", Kind.DEAD)
FIRST, SECONDARY = "a.example.org:587", "b.example.org:587"


def worker(number: int = 0, **changes: Any) -> WorkerSeen:
    """Return one that is well."""
    well: dict[str, Any] = {
        "name": f"mail-a-{number}",
        "wanted": 2,
        "heartbeat": NOW - SECOND,
        "started": NOW - timedelta(hours=1),
        "is_connected": True,
        "is_ledger_in_trouble": False,
        "holds": (),
        "relays_in_trouble": (),
        "troubles": {},
        "sessions": {FIRST: 4},
        "in_flight": 0,
        "per_second": 1.0,
        "rss_bytes": 50_000_000,
        "last_acceptance": {},
        "oldest_held": {},
        "dead_letters": {},
    }
    return WorkerSeen(**(well | changes))


WELL = Status(
    NOW,
    (worker(0), worker(1)),
    (FIRST, SECONDARY),
    (QueueSeen(LANE, 0, None), QueueSeen(DEAD, 3, NOW - timedelta(days=9))),
)


def waiting(age: timedelta | None, accepted: timedelta | None, messages: int = 5) -> Status:
    """Return one in which mail waits, and was last accepted so long ago. None: not known."""
    moments = {} if accepted is None else {MAIL: NOW - accepted}
    return replace(
        WELL,
        workers=(worker(0, last_acceptance=moments), worker(1)),
        queues=(QueueSeen(LANE, messages, None if age is None else NOW - age),),
    )


def test_where_all_is_well_mail_flows_whatever_lies_with_the_dead_letters() -> None:
    assert obstacles(WELL) == ()


def test_a_pause_stands_in_no_way_and_is_told() -> None:
    long = timedelta(hours=1)
    late = waiting(age=long, accepted=long)
    by_ada = Paused("ada@mail-a", "the relay's owner asks", NOW - timedelta(minutes=3))
    all_of_it = replace(late, paused=dict.fromkeys(Lane, by_ada))
    other = replace(late, paused={Lane.BULK: by_ada})

    assert obstacles(all_of_it) == ()
    assert not flows(all_of_it)
    assert flows(replace(WELL, paused={Lane.BULK: by_ada}))
    assert remarks(all_of_it)[0] == (
        "transactional is paused, by ada@mail-a 3m ago: the relay's owner asks;"
        " `hopmail resume --lane transactional` ends it"
    )
    assert len(obstacles(other)) == 1, "of the other lane, which is not paused"


def test_a_damaged_control_file_is_told_with_its_cure_and_stands_in_no_way() -> None:
    damaged = replace(WELL, control_trouble="it is no JSON object")

    assert flows(damaged)
    (told,) = remarks(damaged)
    assert told.startswith("control.json cannot be understood (it is no JSON object): workers do")
    assert told.endswith("`hopmail pause` or `hopmail resume` writes it anew")


def test_what_must_not_be_in_production_is_told_first_though_mail_flows() -> None:
    mine = {"HOPMAIL_A": "HOPMAIL_A: mail is diverted", "HOPMAIL_B": "HOPMAIL_B is so"}
    both, one = worker(0, cautions=("HOPMAIL_A", "HOPMAIL_C")), worker(1, cautions=("HOPMAIL_A",))
    gone = worker(2, heartbeat=NOW - SILENT, cautions=("HOPMAIL_D",))
    staging = replace(WELL, workers=(both, one, gone), cautions=mine)

    assert obstacles(staging) == ()
    assert [told.removeprefix("not for production: ") for told in remarks(staging)] == [
        "HOPMAIL_A: mail is diverted (by the settings of mail-a-0, mail-a-1)",
        "HOPMAIL_B is so (by the settings of this shell only)",
        "HOPMAIL_C is set (by the settings of mail-a-0)",
    ]


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (replace(WELL, workers=()), "no consumer process is alive"),
        (replace(WELL, workers=(worker(0, heartbeat=NOW - SILENT),)), "no consumer process is"),
        (replace(WELL, workers=(worker(0, heartbeat=NOW + SILENT),)), "no consumer process is"),
        (
            replace(WELL, workers=(worker(0, holds=("stopping",)), worker(1, holds=("stopping",)))),
            "every consumer process is stopping",
        ),
        (replace(WELL, queues=(), broker_trouble="broker:5672: refused"), "broker broker:5672"),
        (
            replace(WELL, workers=(worker(0, is_connected=False), worker(1, is_connected=False))),
            "connected to the broker",
        ),
        (
            replace(WELL, workers=(worker(0), worker(1, is_ledger_in_trouble=True))),
            "the ledger cannot be written",
        ),
        (
            replace(
                WELL,
                workers=(
                    worker(0, relays_in_trouble=(FIRST, SECONDARY)),
                    worker(1, relays_in_trouble=(SECONDARY, FIRST)),
                ),
            ),
            "every relay is in trouble",
        ),
        (waiting(LATE + SECOND, None), "transactional mail waits, and none was accepted for 5m1s"),
        (waiting(2 * LATE, LATE + SECOND), "none was accepted for 5m1s"),
        (waiting(None, None), "none was accepted for 1h"),
    ],
)
def test_what_stands_in_the_way_is_named_alone(status: Status, told: str) -> None:
    (found,) = obstacles(status)

    assert told in found


@pytest.mark.parametrize(
    "status",
    [
        pytest.param(
            replace(WELL, workers=(worker(0, is_connected=False), worker(1))), id="one connects"
        ),
        pytest.param(
            replace(WELL, workers=(worker(0, relays_in_trouble=(FIRST,)), worker(1))),
            id="the second relay is well",
        ),
        pytest.param(
            replace(
                WELL,
                workers=(
                    worker(0, relays_in_trouble=(FIRST,)),
                    worker(1, relays_in_trouble=(SECONDARY,)),
                ),
            ),
            id="each has another relay left",
        ),
        pytest.param(replace(WELL, workers=(worker(0),)), id="one worker is starting again"),
        pytest.param(
            replace(WELL, workers=(worker(0, started=NOW - SECOND, is_connected=False),)),
            id="it has not had the time to connect",
        ),
        pytest.param(
            replace(WELL, workers=(worker(0, holds=("stopping",)), worker(1))), id="one is stopping"
        ),
        pytest.param(waiting(None, SECOND), id="of unknown age, and it moves"),
        pytest.param(
            replace(
                WELL,
                workers=(
                    *WELL.workers,
                    worker(2, heartbeat=NOW - 9 * SILENT, relays_in_trouble=(FIRST, SECONDARY)),
                ),
            ),
            id="what a dead worker wrote holds no more",
        ),
        pytest.param(waiting(LATE, None), id="not late yet"),
        pytest.param(waiting(9 * LATE, SECOND), id="a long queue that moves"),
        pytest.param(waiting(9 * LATE, 9 * LATE, messages=0), id="an empty lane"),
    ],
)
def test_what_does_not_stand_in_the_way(status: Status) -> None:
    assert obstacles(status) == ()


def test_where_nobody_is_alive_a_broker_that_is_away_is_told_as_well() -> None:
    status = replace(WELL, workers=(), queues=(), broker_trouble="broker:5672: refused")

    nobody, broker = obstacles(status)

    assert nobody.startswith("no consumer process is alive")
    assert broker == "broker broker:5672: refused: see `hopmail check`"


def test_what_a_worker_holds_waits_too() -> None:
    holding = worker(1, oldest_held={MAIL: NOW - 2 * LATE})

    (found,) = obstacles(replace(WELL, workers=(worker(0), holding)))

    assert "none was accepted for 10m" in found


def test_a_worker_that_is_missing_is_remarked_upon() -> None:
    dead = worker(1, heartbeat=NOW - SILENT)

    (told,) = remarks(replace(WELL, workers=(worker(0), dead)))

    assert "1 of 2 consumer processes are alive" in told
    assert remarks(WELL) == remarks(replace(WELL, workers=())) == ()


@pytest.mark.parametrize(
    ("accepted", "told"), [(None, ["3 transactional"]), (LATE + SECOND, ["3 tr"]), (SECOND, [])]
)
def test_mail_that_only_comes_to_be_tried_again_is_remarked_upon(
    accepted: timedelta | None, told: list[str]
) -> None:
    moments = {} if accepted is None else {MAIL: NOW - accepted}
    retry = Place("email.transactional.retry.30s.v1", Kind.RETRY, MAIL, timedelta(seconds=30))

    found = remarks(
        replace(
            WELL,
            workers=(worker(0, last_acceptance=moments), worker(1)),
            queues=(QueueSeen(retry, 3, None),),
        )
    )

    assert [text[: len(begin)] for text, begin in zip(found, told, strict=True)] == told


def test_a_relay_is_in_trouble_since_its_first_worker_found_so_at_the_stages_of_all() -> None:
    connecting, login = Trouble(NOW - SECOND, Stage.CONNECT), Trouble(NOW - LATE, Stage.AUTH)
    dead = worker(
        3, heartbeat=NOW - SILENT, troubles={FIRST: Trouble(NOW - 9 * LATE, Stage.GREETING)}
    )
    found = replace(
        WELL,
        workers=(
            worker(0, relays_in_trouble=(FIRST,), troubles={FIRST: login}),
            worker(1, relays_in_trouble=(FIRST,), troubles={FIRST: connecting}),
            worker(2, relays_in_trouble=(FIRST,)),
            dead,
        ),
    )

    assert found.is_in_trouble(FIRST)
    assert not found.is_in_trouble(SECONDARY)
    assert found.trouble_since(FIRST) == NOW - LATE
    assert found.trouble_stages(FIRST) == (Stage.CONNECT, Stage.AUTH)
    assert (found.trouble_since(SECONDARY), found.trouble_stages(SECONDARY)) == (None, ())


def test_the_workers_of_every_host_are_wanted() -> None:
    others = [worker(number, name=f"mail-b-{number}", wanted=3) for number in range(2)]

    (told,) = remarks(replace(WELL, workers=(*WELL.workers, *others)))

    assert "4 of 5" in told
