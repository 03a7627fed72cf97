"""What is counted and timed of handled deliveries. Labels are closed sets, shown from the start."""

from collections import defaultdict
from collections.abc import Callable, Iterable, MutableMapping
from functools import cache
from itertools import product
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

from consumer.core.disposition import Reason
from consumer.core.handled import Followup, Handled
from consumer.core.outcome import Reply, Stage
from consumer.core.topology import retry_delay
from consumer.ops.facts import DISPOSITIONS, OUTCOMES, PLAIN, facts, worst
from consumer.ops.recent import Recent
from consumer.ops.timings import Timings
from publisher_lib.routing import Lane

LATENCY_BUCKETS: Final = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 21600)
"""Seconds; 30 s is the objective and must be an edge."""

HANDLING_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30, 300)

NONE: Final = "none"
REFUSALS: Final = {4: "4yz", 5: "5yz"}
CODE_CLASSES: Final = {2: "2yz", 3: "3yz", **REFUSALS}

RETRIED: Final = ("refused", "unreachable", "in_doubt", "not_due")


class Figures:
    """Counters and histograms in a registry; every series they will ever have is there at once.

    `delays` are the steps of the ladder, as their queues' names have them.
    """

    def __init__(self, registry: CollectorRegistry, delays: Iterable[str] = ()) -> None:
        def counter(name: str, told: str, labels: tuple[str, ...]) -> Callable[..., Counter]:
            return cache(Counter(name, told, labels, registry=registry).labels)

        self._deliveries = counter(
            "hopmail_deliveries",
            "Handled deliveries; one whose recipients fared differently counts under the worst.",
            ("lane", "disposition"),
        )
        self._recipients = counter(
            "hopmail_recipients",
            "Recipients, by what came of the mail for them.",
            ("lane", "outcome"),
        )
        self._outcomes = counter(
            "hopmail_outcomes",
            "Outcomes, by how far the conversation with the relay got and its reply's first digit.",
            ("outcome", "stage", "code_class"),
        )
        self._dead_letters = counter("hopmail_dead_letters", "Dead letters.", ("lane", "reason"))
        self._retries = counter(
            "hopmail_retries", "Copies that wait for another attempt.", ("lane", "outcome")
        )
        self._retry_steps = counter(
            "hopmail_retry_steps",
            "Copies put into the retry queue of a delay, for whatever reason.",
            ("lane", "delay"),
        )
        self._latency = Timings(
            registry,
            "hopmail_acceptance_latency_seconds",
            "From publish to the relay's acceptance.",
            LATENCY_BUCKETS,
            label="lane",
            values=Lane,
        )
        self._handling = Timings(
            registry,
            "hopmail_handling_seconds",
            "From taking up a delivery to the verdict, its SMTP transaction included.",
            HANDLING_BUCKETS,
        )
        Recent(registry, self._handling)
        self._last_acceptance = cache(
            Gauge(
                "hopmail_last_acceptance_timestamp_seconds",
                "When the relay last accepted a mail; 0 before the first.",
                ("lane",),
                registry=registry,
            ).labels
        )
        self._show_all(delays)

    def record(self, *records: Handled) -> None:
        """Count settled deliveries; many at once cost less than one by one."""
        counted: defaultdict[Counter, int] = defaultdict(int)
        for handled in records:
            self._count(handled, counted)
        for series, number in counted.items():
            series.inc(number)

    def copied(self, lane: Lane, copy: Followup) -> None:
        """Count a copy, if it is one that waits."""
        delay = retry_delay(copy.exchange, copy.routing_key)
        if delay is not None:
            self._retry_steps(lane, delay).inc()

    def _count(self, handled: Handled, counted: MutableMapping[Counter, int]) -> None:
        lane, found = handled.delivery.lane, facts(handled)
        counted[self._deliveries(lane, worst(found).disposition)] += 1
        self._handling.observe(handled.duration_seconds)
        for fact, verdict in zip(found, handled.verdicts, strict=True):
            counted[self._recipients(lane, fact.outcome)] += len(verdict.recipients)
            stage = fact.stage.name if fact.stage else NONE
            counted[self._outcomes(fact.outcome, stage, _code_class(fact.reply))] += 1
            if fact.reason is not None:
                counted[self._dead_letters(lane, fact.reason)] += 1
            if fact.disposition == "retry":
                counted[self._retries(lane, fact.outcome)] += 1
        for copy in handled.followups:
            self.copied(lane, copy)
        if handled.latency_seconds is not None:
            # Clocks of two hosts differ; no mail arrives before it is published.
            self._latency.observe(max(0.0, handled.latency_seconds), lane)
            self._last_acceptance(lane).set_to_current_time()

    def _show_all(self, delays: Iterable[str]) -> None:
        # `increase()` does not see the event with which a counter first appears.
        for lane in Lane:
            self._last_acceptance(lane)
        for series, labels in (
            (self._deliveries, product(Lane, DISPOSITIONS)),
            (self._recipients, product(Lane, OUTCOMES)),
            (self._dead_letters, product(Lane, Reason)),
            (self._retries, product(Lane, RETRIED)),
            (self._retry_steps, product(Lane, delays)),
            (self._outcomes, _possible_outcomes()),
        ):
            for values in labels:
                series(*values)


def _possible_outcomes() -> list[tuple[str, str, str]]:
    refused = product(
        ("refused",), (stage.name for stage in Stage if stage >= Stage.MAIL), REFUSALS.values()
    )
    unreachable = product(
        ("unreachable",),
        (stage.name for stage in Stage if stage < Stage.END_OF_DATA),
        (NONE, *REFUSALS.values()),
    )
    return [
        ("accepted", Stage.END_OF_DATA.name, "2yz"),
        ("in_doubt", Stage.END_OF_DATA.name, NONE),
        *((outcome, NONE, NONE) for outcome in (*PLAIN.values(), "crashed", "duplicate")),
        *refused,
        *unreachable,
    ]


def _code_class(reply: Reply | None) -> str:
    return NONE if reply is None else CODE_CLASSES.get(reply.code // 100, NONE)
