"""How publishing fails: five errors, each of which says what may be on the broker."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from publisher_lib.receipt import Receipt


class PublishError(Exception):
    """The base of them all; `message_id` is the message's, where it had one."""

    def __init__(self, text: str, message_id: str | None = None) -> None:
        super().__init__(text)
        self.message_id = message_id


class InvalidEmail(PublishError, ValueError):
    """The email breaks the contract; nothing was sent to the broker.

    `violations` are pairs of a JSON pointer (RFC 6901) and a sentence, never quoting the email.
    """

    def __init__(
        self, violations: Iterable[tuple[str, str]], message_id: str | None = None
    ) -> None:
        self.violations = tuple(violations)
        lines = (f"  {pointer or '/'}: {sentence}" for pointer, sentence in self.violations)
        super().__init__("\n".join(("the email breaks the contract:", *lines)), message_id)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.violations, self.message_id)


class Unroutable(PublishError):
    """No queue is bound where the message should go: the topology is missing. Not on the broker."""


class Rejected(PublishError):
    """The broker would not take the message (a full queue, no right, …). Not on the broker."""


class NotPublished(PublishError):
    """The message could not be handed to the broker before the deadline. Not on the broker."""


class OutcomeUnknown(PublishError):
    """The message was written, its confirm did not come: it may or may not be on the broker.

    Publish it again with the same `message_id`.
    """


class PublishManyFailed(PublishError):
    """Some emails of `publish_many` were not confirmed.

    `receipts` and `failures` are keyed by the email's index, from 0, and cover every email that
    was taken from the iterable. `is_cut_short`: those after them, if any, were not taken.
    """

    def __init__(
        self,
        receipts: Mapping[int, "Receipt"],
        failures: Mapping[int, PublishError],
        is_cut_short: bool = False,  # noqa: FBT001, FBT002 - pickled by position
    ) -> None:
        self.receipts = dict(receipts)
        self.failures = dict(failures)
        self.is_cut_short = is_cut_short
        taken = len(self.receipts) + len(self.failures)
        rest = f" (those after number {taken - 1} were not taken)" if is_cut_short else ""
        index, first = min(self.failures.items())
        super().__init__(
            f"{len(self.failures)} of {taken} emails were not confirmed{rest}; the first is "
            f"number {index}, {type(first).__name__}: {first}",
            first.message_id,
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.receipts, self.failures, self.is_cut_short)
