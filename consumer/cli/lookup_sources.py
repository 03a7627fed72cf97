"""What `hopmail lookup` could look into, and how it shows what others worded."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from consumer.core.found import DeadSeen, reply_words
from consumer.ops.mask import mask, mask_quotations


@dataclass(frozen=True)
class Source:
    """Whether it was read; `detail` says why not, or what was amiss."""

    detail: str = ""
    is_read: bool = False


@dataclass(frozen=True)
class Sources:
    """Where a message leaves traces."""

    ledger: Source
    dead_letters: Source
    log: Source

    @property
    def named(self) -> Iterator[tuple[str, Source]]:
        """Yield each with its name."""
        yield "ledger", self.ledger
        yield "dead letters", self.dead_letters
        yield "log", self.log

    @property
    def are_all_read(self) -> bool:
        """Whether nothing was left out."""
        return all(source.is_read for _name, source in self.named)


@dataclass(frozen=True)
class Shown:
    """How names and relays' words are shown: as they are, or as in the log."""

    addresses: bool

    def name(self, address: str) -> str:
        """Return a recipient."""
        return address if self.addresses else mask(address)

    def words(self, text: str, names: Iterable[str]) -> str:
        """Return a relay's words about these recipients."""
        return text if self.addresses else mask_quotations(text, names)

    def detail(self, dead: DeadSeen) -> str:
        """Return why a message is a dead letter, in a line."""
        violations = dead.detail.get("violations")
        if isinstance(violations, list):
            told = (each for each in violations if isinstance(each, dict))
            text = "; ".join(f"{each.get('pointer')} {each.get('message')}" for each in told)
            return self.words(text, dead.pending or ())
        stage = dead.detail.get("stage")
        said = self.words(reply_words(dead.detail), dead.pending or ())
        return f"{stage} {said}" if isinstance(stage, str) else said
