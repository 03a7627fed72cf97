"""The sizes that docs/growing.md tells are those of benchmarks/results.md."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GROWING = (ROOT / "docs" / "growing.md").read_text()
RESULTS = (ROOT / "benchmarks" / "results.md").read_text()
MANIFEST = (ROOT / "deploy" / "kubernetes" / "one-pod" / "statefulset.yaml").read_text()

ROUNDED = 0.13
"""By so much a figure may be rounded, where a person reads it."""

FIGURES = {
    "mails a second": ("growing", r"two CPUs \| ([\d\s]+) \(", "Drain", r"\| Hopmail \| ([\d\s]+)"),
    "CPU, µs": ("growing", r"each mail \| 0(\.\d+) ms", "Drain", r"\| Hopmail \|.*\) \| (\d+) \|"),
    "20 ms away": ("growing", r"100 ms away \| (\d+) /", "Slow relay", r"\| 20 \| ([\d.]+)"),
    "100 ms away": (
        "growing",
        r"100 ms away \| \d+ / ([\d.]+)",
        "Slow relay",
        r"\| 100 \| ([\d.]+)",
    ),
    "100 KB": ("growing", r"mails a second \| (\d+) /", "Sizes", r"\| 100 KB \| (\d+)"),
    "5 MB": ("growing", r"mails a second \| \d+ / (\d+)", "Sizes", r"\| 5 MB \| ([\d.]+)"),
    "MiB": ("growing", r"a process \| (\d+) MiB", "Growth", r"\| 500,000 \|.*\| ([\d.]+) \("),
    "MiB, 100 KB": ("growing", r"100 KB (\d+) MiB", "Sizes", r"\| 100 KB \|.*\| (\d+) \|"),
    "MiB, 5 MB": ("growing", r"5 MB (\d+) MiB", "Sizes", r"\| 5 MB \|.*\| (\d+) \|"),
    "latency": ("growing", r"100 a second \| (\d+) ms", "Latency", r"250 \| 100 \| ([\d.]+)"),
    "latency, 99 %": (
        "growing",
        r"99 % within (\d+) ms",
        "Latency",
        r"250 \| 100 \|.*\| ([\d.]+) \(",
    ),
    "publish": ("growing", r"many \| (\d+) ms", "Latency", r"confirmed \| 100 \| ([\d.]+)"),
    "many": (
        "growing",
        r"many \| \d+ ms; ([\d\s]+) a",
        "Publish",
        r"`publish_many`, conf\w+ \| ([\d\s]+)",
    ),
    "start": ("growing", r"`hopmail run` \| (\d+) s", "Start", r"two processes \| ([\d.]+)"),
    "MiB, a pod": ("manifest", r"(\d+) MiB each", "Growth", r"\| 500,000 \|.*\| ([\d.]+) \("),
    "MiB, a pod, 5 MB": ("manifest", r"each, (\d+) MiB", "Sizes", r"\| 5 MB \|.*\| (\d+) \|"),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_the_measured_one(name: str) -> None:
    page, told, section, measured = FIGURES[name]
    text = {"growing": GROWING, "manifest": MANIFEST}[page]
    (part,) = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", RESULTS, re.MULTILINE | re.DOTALL)

    factor = 1000 if name == "CPU, µs" else 1
    assert factor * number(told, text) == pytest.approx(number(measured, part), rel=ROUNDED)


def number(pattern: str, text: str) -> float:
    """Return the figure that a pattern finds first."""
    found = re.search(pattern, text)
    assert found, pattern
    return float(re.sub(r"\s", "", found[1]))
