"""Lines, bars and states over time, in axes of matplotlib's."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from dev.dashboard import Panel, Span
from dev.prometheus import Series
from dev.theme import BACKGROUND, COLOURS, FAINT, GRID, LINES, TEXT
from dev.units import written

LEGENDS: Final = ((17, 3), (34, 2), (60, 1))
"""Of names of at most so many letters, so many fit side by side."""

LEGEND_LINES: Final = 2
"""Grafana's can be scrolled."""

LEGEND_INDENT_PIXELS: Final = 50
TICKS: Final = 4

Answer = Sequence[tuple[str, Series]]


def plot_series(axes: Any, panel: Panel, found: Answer, span: Span) -> None:
    """Draw lines or bars, the axis of values in the panel's unit, and a legend."""
    from matplotlib.ticker import LogLocator, MaxNLocator, MultipleLocator  # noqa: PLC0415 - to draw

    custom: Mapping[str, Any] = panel.setting("custom")
    if custom["drawStyle"] == "bars":
        _bars(axes, found, span)
    else:
        _lines(axes, found)
    if custom.get("scaleDistribution", {}).get("type") == "log":
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=TICKS + 1))
        axes.minorticks_off()
    else:
        top = _top(found, is_stacked="stacking" in custom) * 1.15 or 1.0
        axes.set_ylim(0, top)
        # Round figures are others where a thousand is 1024.
        base = 2.0 ** math.ceil(math.log2(top / TICKS))
        axes.yaxis.set_major_locator(
            MultipleLocator(base)
            if panel.unit == "bytes"
            else MaxNLocator(TICKS, integer=panel.unit == "short")
        )
    if custom.get("thresholdsStyle", {}).get("mode") == "dashed":
        limit = panel.setting("thresholds")["steps"][-1]["value"]
        axes.axhline(limit, color=COLOURS["red"], linewidth=1, linestyle=(0, (4, 3)))
    axes.yaxis.set_major_formatter(lambda value, _place: written(value, panel.unit))
    axes.grid(visible=True, linewidth=0.8)
    axes.set_axisbelow(True)
    _dress(axes, span)
    _legend(axes, found)


def plot_states(axes: Any, panel: Panel, found: Answer, span: Span) -> None:
    """Draw a bar for each series, coloured and named by its state."""
    options = panel.setting("mappings")[0]["options"]
    for row, (name, series) in enumerate(reversed(found)):
        for start, end, value in _stretches(series, span.step_seconds):
            option = options.get(f"{value:g}", {"text": "", "color": "text"})
            axes.broken_barh(
                [(start, end - start)],
                (row - 0.22, 0.44),
                color=COLOURS[option["color"]],
                alpha=0.8,
            )
            if end - start > (span.end - span.start) / 14:
                middle = (start + end) / 2
                axes.text(
                    middle,
                    row,
                    option["text"],
                    fontsize=8,
                    color=BACKGROUND,
                    ha="center",
                    va="center",
                )
        axes.text(span.start, row + 0.27, name, fontsize=7.5, color=TEXT, va="bottom")
    axes.set_ylim(-0.5, len(found) - 0.35)
    axes.set_yticks([])
    _dress(axes, span)


def _lines(axes: Any, found: Answer) -> None:
    for number, (_name, series) in enumerate(found):
        moments, values = zip(*series.samples, strict=True)
        colour = LINES[number % len(LINES)]
        axes.plot(moments, values, color=colour, linewidth=1.5)
        axes.fill_between(moments, values, color=colour, alpha=0.08, linewidth=0)


def _bars(axes: Any, found: Answer, span: Span) -> None:
    below: dict[float, float] = {}
    for number, (_name, series) in enumerate(found):
        moments, values = zip(*series.samples, strict=True)
        axes.bar(
            moments,
            values,
            width=span.step_seconds,
            bottom=[below.get(moment, 0.0) for moment in moments],
            color=LINES[number % len(LINES)],
            alpha=0.75,
        )
        for moment, value in series.samples:
            below[moment] = below.get(moment, 0.0) + value


def _stretches(series: Series, step_seconds: float) -> Iterator[tuple[float, float, float]]:
    """Return from when to when a series had the same value."""
    start, value = series.samples[0]
    end = start
    for moment, now in series.samples[1:]:
        if now != value or moment - end > 1.5 * step_seconds:
            yield start, min(moment, end + step_seconds), value
            start, value = moment, now
        end = moment
    yield start, end, value


def _dress(axes: Any, span: Span) -> None:
    axes.set_xlim(span.start, span.end)
    step = 30 * max(1, math.ceil((span.end - span.start) / 30 / TICKS))
    first = math.ceil(span.start / step) * step
    axes.set_xticks(
        [first + step * number for number in range(int((span.end - first) // step) + 1)]
    )
    axes.xaxis.set_major_formatter(
        lambda moment, _place: time.strftime("%H:%M:%S", time.gmtime(moment))
    )
    axes.tick_params(length=0, labelsize=7.5)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(GRID)


def _top(found: Answer, *, is_stacked: bool) -> float:
    """Return the largest value, or sum of values, that is drawn."""
    sums: dict[float, float] = {}
    for _name, series in found:
        for moment, value in series.samples:
            if not math.isnan(value):
                former = sums.get(moment, 0.0)
                sums[moment] = former + value if is_stacked else max(former, value)
    return max(sums.values())


def _legend(axes: Any, found: Answer) -> None:
    from matplotlib.lines import Line2D  # noqa: PLC0415 - loaded only to draw

    tallest = sorted(
        enumerate(found), key=lambda item: max(item[1][1].numbers, default=0.0), reverse=True
    )
    longest = max(len(name) for name, _series in found)
    columns = next((columns for letters, columns in LEGENDS if longest <= letters), 1)
    kept = sorted(tallest[: columns * LEGEND_LINES], key=lambda item: item[0])
    box = axes.get_window_extent()
    axes.legend(
        [Line2D([], [], color=LINES[number % len(LINES)], linewidth=3) for number, _ in kept],
        [name[: LEGENDS[-1][0]] for _number, (name, _series) in kept],
        loc="upper left",
        bbox_to_anchor=(-LEGEND_INDENT_PIXELS / box.width, -14 / box.height),
        borderaxespad=0,
        ncol=columns,
        frameon=False,
        fontsize=7,
        labelcolor=FAINT,
        handlelength=1.0,
        handletextpad=0.5,
        columnspacing=1.2,
        labelspacing=0.25,
    )
