"""The Grafana dashboard as data: its panels, and their queries as Prometheus gets them."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from dev.prometheus import Prometheus, Series

DASHBOARD: Final = Path(__file__).parents[1] / "deploy" / "grafana" / "dashboards" / "hopmail.json"
PLACEHOLDER: Final = re.compile(r"\{\{\s*(\w+)\s*\}\}")


@dataclass(frozen=True)
class Span:
    """What Grafana shows at once, from `start` to `end` (Unix seconds)."""

    start: float
    end: float
    step_seconds: float
    rate_interval: str


@dataclass(frozen=True)
class Query:
    """One query of a panel. An instant one is asked for the end of the span only."""

    expression: str
    legend: str
    is_instant: bool

    def ask(self, prometheus: Prometheus, span: Span) -> list[tuple[str, Series]]:
        """Return each series and its name. Raises QueryRefused."""
        expression = self.expression.replace("$__rate_interval", span.rate_interval)
        if self.is_instant:
            found = prometheus.instant(expression, span.end)
        else:
            found = prometheus.ranged(expression, span.start, span.end, span.step_seconds)
        return [(self.name(series.labels), series) for series in found]

    def name(self, labels: Mapping[str, str]) -> str:
        """Return what the legend calls a series; a label it has not is told as such."""
        return PLACEHOLDER.sub(lambda found: labels.get(found[1], f"no {found[1]}"), self.legend)


@dataclass(frozen=True)
class Panel:
    """One panel, or the title of a row. `place` is x, y, width and height in Grafana's grid."""

    kind: str
    title: str
    place: tuple[int, int, int, int]
    queries: tuple[Query, ...]
    defaults: Mapping[str, Any]
    overrides: Mapping[str, Mapping[str, Any]]
    options: Mapping[str, Any]

    @property
    def unit(self) -> str:
        """How its figures are to be written, in Grafana's words."""
        return str(self.defaults.get("unit", "none"))

    def setting(self, name: str, series: str = "") -> Any:
        """Return a setting of its fields, for a series that may have one of its own."""
        return self.overrides.get(series, {}).get(name, self.defaults.get(name))


def panels(path: Path = DASHBOARD) -> list[Panel]:
    """Return the panels and the titles of rows, in their order."""
    return [_panel(found) for found in json.loads(path.read_text())["panels"]]


def _panel(found: Mapping[str, Any]) -> Panel:
    config = found.get("fieldConfig", {"defaults": {}, "overrides": []})
    place = found["gridPos"]
    return Panel(
        found["type"],
        found["title"],
        (place["x"], place["y"], place["w"], place["h"]),
        tuple(
            Query(target["expr"], target["legendFormat"], target.get("instant", False))
            for target in found.get("targets", ())
        ),
        config["defaults"],
        {
            override["matcher"]["options"]: {
                found["id"]: found["value"] for found in override["properties"]
            }
            for override in config["overrides"]
        },
        found.get("options", {}),
    )
