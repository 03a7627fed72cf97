"""The chart of the main figures. matplotlib is loaded only to draw it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.figures import Spread
from benchmarks.section import Section

OURS: Final = "#1f6f8b"
THEIRS: Final = "#b8b8b8"
MARK: Final = "#444444"
ROW_INCHES: Final = 0.34
HEAD_INCHES: Final = 0.9
WIDTH_INCHES: Final = 10.0
DOTS_PER_INCH: Final = 110
WHOLE: Final = 30.0
"""From here on no digit behind the point is shown."""


def draw(sections: Sequence[Section], path: Path) -> None:
    """Write a PNG with the bars of every section that has some, one panel each."""
    import matplotlib as mpl  # noqa: PLC0415 - half a second, and an extra that tests do without

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 - as above

    shown = [section for section in sections if section.bars]
    heights = [HEAD_INCHES + ROW_INCHES * len(section.bars) for section in shown]
    figure, panels = plt.subplots(
        len(shown),
        figsize=(WIDTH_INCHES, sum(heights)),
        height_ratios=heights,
        layout="constrained",
        squeeze=False,
    )
    for section, panel in zip(shown, panels.flat, strict=True):
        _panel(panel, section)
    figure.savefig(path, dpi=DOTS_PER_INCH)
    plt.close(figure)


def _panel(panel: Any, section: Section) -> None:
    spreads = list(section.bars.values())
    medians = [found.median for found in spreads]
    panel.barh(
        [name.replace("`", "") for name in section.bars],
        medians,
        xerr=_whiskers(spreads),
        color=[THEIRS if name in section.theirs else OURS for name in section.bars],
        error_kw={"ecolor": MARK, "elinewidth": 1, "capsize": 2},
    )
    panel.invert_yaxis()
    panel.set_title(f"{section.title}: {section.unit}", loc="left", fontweight="bold")
    ends = [found.high for found in spreads]
    for row, (median, end) in enumerate(zip(medians, ends, strict=True)):
        panel.annotate(
            f"{median:,.0f}" if median >= WHOLE else f"{median:.1f}",
            (end, row),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
        )
    panel.margins(x=0.12)
    panel.spines[["top", "right"]].set_visible(False)


def _whiskers(spreads: Sequence[Spread]) -> list[list[float]]:
    low = [found.median - found.low for found in spreads]
    return [low, [found.high - found.median for found in spreads]]
