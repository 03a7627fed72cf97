"""Prometheus' query API (https://prometheus.io/docs/prometheus/latest/querying/api/)."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

ANSWER_SECONDS: Final = 10.0


class QueryRefused(Exception):
    """Prometheus does not understand the query, or cannot answer it; the text is its own."""


@dataclass(frozen=True)
class Series:
    """One series of an answer: its labels, and its samples as (Unix seconds, value)."""

    labels: Mapping[str, str]
    samples: Sequence[tuple[float, float]]

    @property
    def last(self) -> float:
        """Its latest value."""
        return self.samples[-1][1]

    @property
    def numbers(self) -> list[float]:
        """Its values, without what is no number."""
        return [value for _moment, value in self.samples if not math.isnan(value)]


class Prometheus:
    """A Prometheus, by its address."""

    def __init__(self, url: str) -> None:
        self.url = url

    def instant(self, query: str, at: float | None = None) -> list[Series]:
        """Return each series' value now, or `at` a time (Unix seconds). Raises QueryRefused."""
        moment = {} if at is None else {"time": f"{at:.3f}"}
        data = self._ask("query", query=query, **moment)
        if data["resultType"] == "scalar":
            return [Series({}, [_sample(data["result"])])]
        return [_series(found, [found["value"]]) for found in data["result"]]

    def value(self, query: str, at: float | None = None) -> float | None:
        """Return the value of a query that has one series; None where it has none."""
        found = self.instant(query, at)
        if not found:
            return None
        (series,) = found
        return series.last

    def ranged(self, query: str, start: float, end: float, step_seconds: float) -> list[Series]:
        """Return each series' values from `start` to `end` (Unix seconds). Raises QueryRefused."""
        data = self._ask(
            "query_range", query=query, start=f"{start:.3f}", end=f"{end:.3f}", step=step_seconds
        )
        return [_series(found, found["values"]) for found in data["result"]]

    def targets(self) -> dict[str, str]:
        """Return the health of each job's target: up, down or unknown."""
        active = self._ask("targets", state="active")["activeTargets"]
        return {target["labels"]["job"]: target["health"] for target in active}

    def _ask(self, path: Literal["query", "query_range", "targets"], **fields: object) -> Any:
        address = f"{self.url}/api/v1/{path}?{urlencode(fields)}"
        try:
            with urlopen(address, timeout=ANSWER_SECONDS) as answer:  # noqa: S310 - loopback
                return json.load(answer)["data"]
        except HTTPError as refused:
            with refused:
                raise QueryRefused(refused.read().decode(errors="replace")) from None


def _series(found: Mapping[str, Any], samples: Sequence[Sequence[Any]]) -> Series:
    return Series(found["metric"], [_sample(sample) for sample in samples])


def _sample(sample: Sequence[Any]) -> tuple[float, float]:
    moment, text = sample
    return float(moment), float(text)
