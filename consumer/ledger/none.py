"""No ledger: every copy is served, as if nothing were known of it."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from consumer.core.ledger import Claim, Ending, Wanted


class NoLedger:
    """Grants everything and remembers nothing."""

    trouble = ""
    is_in_trouble = False
    size_bytes = 0.0

    def start(self, on_trouble: Callable[[bool], None]) -> None:
        """Begin; there will be no trouble."""

    def time_writes(self, wrote: Callable[[float], None]) -> None:
        """Write nothing."""

    def claim(self, wanted: Sequence[Wanted], done: Callable[[Sequence[Claim]], None]) -> None:
        """Grant every recipient."""
        done([Claim(each, granted=each.recipients) for each in wanted])

    def end(
        self, _claim: Claim, _endings: Mapping[str, Ending], done: Callable[[], None] | None = None
    ) -> None:
        """Forget the claim."""
        if done is not None:
            done()

    def deaths(self, _fingerprints: Sequence[bytes]) -> dict[bytes, int]:
        """Know of no deaths."""
        return {}

    def sending(self, _claim: Claim, _recipients: Iterable[str]) -> bool:
        """Let the dot go."""
        return True

    def answered(self, claim: Claim, endings: Mapping[str, Ending]) -> None:
        """Note nothing."""

    def close(self, _timeout_seconds: float) -> bool:
        """End."""
        return True
