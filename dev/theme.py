"""Grafana's dark colours (grafana.com/developers/saga: colours), for matplotlib."""

from typing import Final

BACKGROUND: Final = "#111217"
PANEL: Final = "#181b1f"
BORDER: Final = "#2c2f36"
GRID: Final = "#26292f"
TEXT: Final = "#d0d1db"
FAINT: Final = "#8e909a"

COLOURS: Final = {
    "green": "#73bf69",
    "yellow": "#fade2a",
    "orange": "#ff9830",
    "red": "#f2495c",
    "blue": "#5794f2",
    "text": TEXT,
}

LINES: Final = (
    *("#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#5794f2", "#b877d9", "#c7a36b"),
    *("#37872d", "#fade2a", "#447ebc", "#c15c17"),
)
"""One after the other, as the palette `classic` has them."""

THEME: Final = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.facecolor": PANEL,
    "axes.edgecolor": GRID,
    "axes.labelcolor": FAINT,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "grid.color": GRID,
    "text.color": TEXT,
}
