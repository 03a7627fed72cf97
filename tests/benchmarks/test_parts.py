"""What each part makes of its samples, without a broker."""

from typing import Any

import pytest

from benchmarks import (
    cpu,
    drain,
    goals,
    growth,
    lanes,
    latency,
    publish,
    sizes,
    slow_relay,
    start,
    watched,
)
from benchmarks.contenders.runs import (
    CELERY,
    CELERY_TUNED,
    CONTENDERS,
    DRAMATIQ,
    DRAMATIQ_TUNED,
    HOPMAIL,
    ROAMING,
    SMTP_SOURCE,
)
from benchmarks.load import Call
from benchmarks.section import Section


def row(section: Section, first: str) -> list[str]:
    (found,) = [list(cells) for cells in section.rows if cells[0] == first]
    return found


def medians(section: Section) -> dict[str, float]:
    return {goal.what: round(found.median, 3) for goal, found in section.reached.items()}


def drained(*rates: float, copies: int = 0) -> list[drain.Drained]:
    return [drain.Drained(rate, 150.0, copies) for rate in rates]


DRAIN = drain.section(
    {
        HOPMAIL.name: drained(5000, 6000),
        ROAMING.name: drained(4000, 4000),
        CELERY.name: drained(500, 500, copies=1),
        DRAMATIQ.name: drained(1000, 1000),
        CELERY_TUNED.name: drained(2000, 2000),
        DRAMATIQ_TUNED.name: drained(2500, 2500),
        SMTP_SOURCE.name: drained(20000, 24000),
    },
    costs=[-0.21, 0.01, 0.03],
)


def test_a_drain_is_held_against_every_contender_and_the_faster_of_the_tuned() -> None:
    assert medians(DRAIN) == {
        goals.DRAIN_CELERY.what: 11.0,
        goals.DRAIN_DRAMATIQ.what: 5.5,
        goals.DRAIN_TUNED.what: 2.2,
        goals.DRAIN_RELAY.what: 0.25,
    }


def test_a_drain_tells_rate_ratio_cpu_and_copies() -> None:
    assert row(DRAIN, CELERY.name) == [
        CELERY.name,
        *("500", "500–500", "11.00 (10.00–12.00)", "150", "2"),
    ]
    assert row(DRAIN, ROAMING.name)[3] == "1.38 (1.25–1.50)"
    assert "needs 1.0% more time than with one that does not (21.0% less to 3.0% more)" in DRAIN.how


def test_only_hopmails_bars_are_ours() -> None:
    assert DRAIN.bars.keys() - DRAIN.theirs == {HOPMAIL.name, ROAMING.name}


def test_hopmail_takes_turns_with_itself_not_kept_to_a_cpu() -> None:
    assert {HOPMAIL, ROAMING} < set(CONTENDERS)
    assert (HOPMAIL.mails, HOPMAIL.fill) == (ROAMING.mails, ROAMING.fill)


def test_publishing_many_is_held_against_pika_and_against_celery_unconfirmed() -> None:
    found = {way: [10.0] for way in publish.WAYS}
    found |= {publish.MANY: [9000.0], publish.BLOCKING: [200.0], publish.CELERY: [3000.0]}
    section = publish.section(found)

    assert medians(section) == {goals.PUBLISH_BLOCKING.what: 45, goals.PUBLISH_CELERY.what: 3}
    assert len(section.rows) == 1 + len(publish.WAYS)
    assert len(section.bars) == len(publish.WAYS), "two ways have the same name"
    assert section.bars.keys() - section.theirs == {
        publish.label(way) for way in publish.WAYS if "Hopmail" in way.title
    }


def test_a_mails_delay_is_that_from_its_own_call() -> None:
    calls = [Call(0, 10.0, 10.1), Call(1, 20.0, 20.1)]

    assert latency.delays(calls, {"load-1": 20.5, "load-0": 10.25}) == [0.25, 0.5]


def test_latency_tells_the_percentiles_in_milliseconds() -> None:
    what = latency.Measured(latency.TO_RELAY, 100)
    section = latency.section({what: [[n / 1000 for n in range(1, 101)]] * 2})

    assert row(section, latency.TO_RELAY)[1:] == [
        *("100", "50.0 (50.0–50.0)", "95.0 (95.0–95.0)", "99.0 (99.0–99.0)"),
    ]
    assert section.bars[latency.label(what)].median == pytest.approx(99)


def test_the_slow_relay_counts_where_hopmail_is_less_ahead() -> None:
    rates = {20: (50.0, 12.5), 100: (5.0, 2.5)}
    found = {
        slow_relay.Measured(who, late): [rate]
        for late, both in rates.items()
        for who, rate in zip((slow_relay.HOPMAIL, slow_relay.SENDMAIL), both, strict=True)
    }
    section = slow_relay.section(found)

    assert medians(section) == {goals.SLOW_RELAY.what: 2.0}
    assert row(section, "20")[-1] == "4.00 (4.00–4.00)"


def test_lanes_hold_the_p99_beside_bulk_mail_against_the_one_without() -> None:
    alone, beside = [0.010] * 98 + [0.020] * 2, [0.010] * 98 + [0.030] * 2
    section = lanes.section({0: [alone], 50_000: [beside]}, rate=2500.0, left=12_345)

    assert medians(section) == {goals.LANES.what: 1.5}
    assert "2500 mails/s" in section.how
    assert "at least 12345 of the bulk" in section.how


def test_where_no_bulk_mail_was_left_nothing_is_held_against_the_goal() -> None:
    section = lanes.section({0: [[0.010]], 50_000: [[0.010]]}, rate=2500.0, left=0)

    assert not section.reached
    assert len(section.rows) == 3


def test_what_watching_costs_is_the_share_of_the_drain_that_is_left() -> None:
    section = watched.section(
        {watched.WITH: drained(900, 1900), watched.WITHOUT: drained(1000, 2000)}
    )

    assert medians(section) == {goals.WATCHED.what: 0.925}
    assert row(section, watched.WITH)[1:] == ["1\u2009400", "900–1\u2009900", "150"]


def test_of_a_load_the_first_mails_and_those_of_others_are_not_judged() -> None:
    lines: list[dict[str, Any]] = [
        {"message_id": f"load-{number}", "latency_seconds": float(number)} for number in range(10)
    ]
    lines.append({"message_id": "another", "latency_seconds": 99.0})

    assert lanes.judged(lines, calls=10) == [2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]


def test_sizes_tell_what_is_moved_and_the_most_memory_it_took() -> None:
    size = sizes.SIZES[1]
    mebibyte = 1024 * 1024
    samples = [sizes.Drained(500.0, 60 * mebibyte), sizes.Drained(700.0, 80 * mebibyte)]

    assert row(sizes.section({size: samples}), size.title) == [
        *("100 KB", "600", "500–700", "60.0", "80"),
    ]


def test_growth_is_the_memory_at_the_largest_backlog_by_that_at_the_smallest() -> None:
    found = {
        1_000: [growth.Drained(5000.0, 50), growth.Drained(5000.0, 60)],
        500_000: [growth.Drained(4000.0, 55), growth.Drained(4000.0, 66)],
    }

    assert medians(growth.section(found)) == {goals.GROWTH.what: 1.1}


def test_the_start_is_that_of_a_worker_alone() -> None:
    section = start.section({start.WORKER: [0.5, 0.7, 0.6], start.SUPERVISED: [2.0, 2.0, 2.0]})

    assert medians(section) == {goals.START.what: 0.6}
    assert row(section, start.WORKER) == [start.WORKER, "0.60", "0.50–0.70"]


def test_cpu_names_what_the_steps_leave() -> None:
    rounds = [cpu.Round({"decode": 10.0, "compose": 30.0}, 100.0)] * 3
    section = cpu.section(rounds)

    assert row(section, "compose")[1:] == ["30", "30%", "30–30"]
    assert row(section, cpu.REST)[1:] == ["60", "60%", "60–60"]
    assert row(section, cpu.WHOLE)[1:] == ["100", "100%", "100–100"]
