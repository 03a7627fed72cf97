"""Values that nobody changes: so says the type checker, and not the interpreter at every making."""

from dataclasses import dataclass
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def record(cls: type[T]) -> type[T]:
    """Make a class a dataclass whose fields are set once.

    A frozen one takes three times as long to make, and each mail is a score of them.
    """
    return dataclass(slots=True, unsafe_hash=True)(cls)
