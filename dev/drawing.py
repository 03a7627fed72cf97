"""Draws what Grafana would show of the dashboard. matplotlib is loaded only to draw it."""

import io
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from dev.dashboard import Panel, Span
from dev.plots import plot_series, plot_states
from dev.prometheus import Series
from dev.theme import BACKGROUND, BORDER, COLOURS, FAINT, PANEL, TEXT, THEME
from dev.units import written

COLUMN_PIXELS: Final = 60
ROW_PIXELS: Final = 31
HEAD_PIXELS: Final = 48
GAP_PIXELS: Final = 4
LEGEND_PIXELS: Final = 24
DOTS_PER_INCH: Final = 100
COLOURS_KEPT: Final = 192
"""Of the picture: enough for lines and letters, and half of the bytes."""

Answer = Sequence[tuple[str, Series]]


@dataclass(frozen=True)
class Box:
    """Where a panel lies in the picture: pixels from its left and its lower edge."""

    left: float
    bottom: float
    width: float
    height: float

    @property
    def middle(self) -> float:
        """Its middle, from the picture's left."""
        return self.left + self.width / 2


class Canvas:
    """The picture: its size follows from the panels that it is to hold."""

    def __init__(self, shown: Iterable[Panel], title: str) -> None:
        import matplotlib as mpl  # noqa: PLC0415 - half a second, and an extra that tests do without

        mpl.use("Agg")
        from matplotlib import pyplot as plt  # noqa: PLC0415 - as above

        rows = max(y + h for _x, y, _w, h in (panel.place for panel in shown))
        self.width, self.height = 24 * COLUMN_PIXELS, HEAD_PIXELS + rows * ROW_PIXELS + GAP_PIXELS
        plt.rcParams.update(THEME)
        self.figure = plt.figure(
            figsize=(self.width / DOTS_PER_INCH, self.height / DOTS_PER_INCH),
            dpi=DOTS_PER_INCH,
            facecolor=BACKGROUND,
        )
        self.sheet: Any = self.figure.add_axes((0, 0, 1, 1))
        self.sheet.set(xlim=(0, self.width), ylim=(0, self.height))
        self.sheet.set_axis_off()
        self.text(16, self.height - HEAD_PIXELS / 2, title, 15, weight="bold")

    def text(self, x: float, y: float, text: str, size: float, **style: Any) -> None:
        """Write a line, its middle at this height."""
        self.sheet.text(x, y, text, **{"fontsize": size, "color": TEXT, "va": "center", **style})

    def box(self, panel: Panel) -> Box:
        """Return where a panel lies."""
        x, y, width, height = panel.place
        return Box(
            x * COLUMN_PIXELS + GAP_PIXELS,
            self.height - HEAD_PIXELS - (y + height) * ROW_PIXELS + GAP_PIXELS,
            width * COLUMN_PIXELS - 2 * GAP_PIXELS,
            height * ROW_PIXELS - 2 * GAP_PIXELS,
        )

    def rectangle(self, box: Box, colour: str, edge: str = "none") -> None:
        """Fill a part."""
        from matplotlib.patches import FancyBboxPatch  # noqa: PLC0415 - as above

        corner = (box.left, box.bottom)
        style = "round,pad=0,rounding_size=3"
        self.sheet.add_patch(
            FancyBboxPatch(corner, box.width, box.height, style, facecolor=colour, edgecolor=edge)
        )

    def axes(self, box: Box) -> Any:
        """Return axes that fill a part."""
        return self.figure.add_axes(
            (
                box.left / self.width,
                box.bottom / self.height,
                box.width / self.width,
                box.height / self.height,
            )
        )

    def save(self, path: Path) -> None:
        """Write it as a PNG."""
        from PIL import Image  # noqa: PLC0415 - comes with matplotlib

        whole = io.BytesIO()
        self.figure.savefig(whole, facecolor=BACKGROUND)
        with Image.open(whole) as image:
            image.convert("RGB").quantize(COLOURS_KEPT, dither=Image.Dither.NONE).save(
                path, optimize=True
            )


def draw(shown: Sequence[Panel], ask: Callable[[Panel], Answer], span: Span, path: Path) -> None:
    """Write a PNG with every panel, given what Prometheus answers to one's queries."""
    hours = [time.strftime("%H:%M:%S", time.gmtime(moment)) for moment in (span.start, span.end)]
    canvas = Canvas(shown, "Hopmail")
    canvas.text(
        canvas.width - 16, canvas.height - HEAD_PIXELS / 2, " to ".join(hours), 9, ha="right"
    )
    for panel in shown:
        box = canvas.box(panel)
        if panel.kind == "row":
            canvas.text(box.left + 8, box.bottom + box.height / 2, f"⌄  {panel.title}", 11)
            continue
        canvas.rectangle(box, PANEL, BORDER)
        canvas.text(box.left + 10, box.bottom + box.height - 14, panel.title, 8.5)
        _fill(canvas, panel, box, ask(panel), span)
    canvas.save(path)


def _fill(canvas: Canvas, panel: Panel, box: Box, found: Answer, span: Span) -> None:
    # Below lie the times, and a legend where lines need one.
    below = LEGEND_PIXELS if panel.kind == "timeseries" else 0
    inner = Box(box.left + 58, box.bottom + below + 22, box.width - 74, box.height - below - 54)
    if not any(series.numbers for _name, series in found):
        words = str(panel.setting("noValue") or "No data")
        middle = box.bottom + box.height / 2 - 8
        canvas.text(box.middle, middle, words, 12, color=FAINT, ha="center")
    elif panel.kind == "stat":
        _stats(canvas, panel, box, found)
    elif panel.kind == "state-timeline":
        plot_states(canvas.axes(inner), panel, found, span)
    else:
        plot_series(canvas.axes(inner), panel, found, span)


def _stats(canvas: Canvas, panel: Panel, box: Box, found: Answer) -> None:
    is_tile = panel.options["colorMode"] == "background"
    height = (box.height - 34) / len(found)
    for number, (name, series) in enumerate(found):
        bottom = box.bottom + 6 + (len(found) - 1 - number) * height
        text, colour = _shown(panel, name, series.last)
        tile = Box(box.left + 6, bottom + 2, box.width - 12, height - 4)
        if is_tile:
            canvas.rectangle(tile, colour)
        ink = BACKGROUND if is_tile else colour
        middle = tile.bottom + tile.height / 2
        if not name:
            canvas.text(box.middle, middle, text, 21, color=ink, weight="bold", ha="center")
            continue
        faint = BACKGROUND if is_tile else TEXT
        canvas.text(tile.left + 8, middle, name, 9, color=faint)
        size = 11 if is_tile else 14
        right = tile.left + tile.width - 8
        canvas.text(right, middle, text, size, color=ink, weight="bold", ha="right")
    if panel.options["graphMode"] == "area":
        _spark(canvas, box, found[0][1])


def _spark(canvas: Canvas, box: Box, series: Series) -> None:
    axes = canvas.axes(Box(box.left + 1, box.bottom + 1, box.width - 2, box.height / 3))
    moments, values = zip(*series.samples, strict=True)
    axes.fill_between(moments, values, color=COLOURS["green"], alpha=0.25, linewidth=0)
    axes.plot(moments, values, color=COLOURS["green"], linewidth=1)
    axes.set(xlim=(moments[0], moments[-1]), ylim=(0, max(values) * 1.1 or 1))
    axes.set_axis_off()


def _shown(panel: Panel, name: str, value: float) -> tuple[str, str]:
    """Return how a stat writes a value, and in which colour."""
    steps: Sequence[Mapping[str, Any]] = panel.setting("thresholds", name)["steps"]
    reached = [step for step in steps if step["value"] is None or value >= step["value"]]
    colour = (reached or steps)[-1 if reached else 0]["color"]
    for mapping in panel.setting("mappings") or ():
        if mapping["type"] == "value" and f"{value:g}" in mapping["options"]:
            option = mapping["options"][f"{value:g}"]
            return option["text"], COLOURS[option["color"]]
        if mapping["type"] == "special" and value != value:  # noqa: PLR0124 - not a number
            return mapping["options"]["result"]["text"], COLOURS["text"]
    return written(value, panel.unit, panel.setting("decimals")), COLOURS[colour]
