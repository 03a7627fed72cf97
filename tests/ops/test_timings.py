"""Our histogram says what the library's own would."""

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.exposition import generate_latest

from consumer.ops.timings import Timings

BUCKETS = (0.001, 0.5, 1, 300)
NAME, TOLD = "hopmail_test_seconds", "Told."

seconds = st.floats(0, 1000) | st.sampled_from(BUCKETS)


def lines(registry: CollectorRegistry) -> list[str]:
    return [
        line for line in generate_latest(registry).decode().splitlines() if "_created" not in line
    ]


@given(st.lists(st.tuples(seconds, st.sampled_from("abc"))))
def test_a_histogram_by_label_equals_the_librarys(observed: list[tuple[float, str]]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    timings = Timings(ours, NAME, TOLD, BUCKETS, label="relay", values="ab")
    histogram = Histogram(NAME, TOLD, ("relay",), buckets=BUCKETS, registry=theirs)
    for value in "ab":
        histogram.labels(value)
    for took, value in observed:
        timings.observe(took, value)
        histogram.labels(value).observe(took)

    assert lines(ours) == lines(theirs)
    assert timings.count == len(observed)


@given(st.lists(seconds))
def test_a_histogram_without_label_equals_the_librarys(observed: list[float]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    timings = Timings(ours, NAME, TOLD, BUCKETS)
    histogram = Histogram(NAME, TOLD, buckets=BUCKETS, registry=theirs)
    for took in observed:
        timings.observe(took)
        histogram.observe(took)

    assert lines(ours) == lines(theirs)
