"""Why a run of the benchmarks ended."""


class BenchmarkFailed(Exception):
    """Something did not come up, or did not do its work; the text says what is known."""
