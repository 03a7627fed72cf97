"""`--help` as a person reads it: paragraphs that fill the terminal, no types of Python's.

typer keeps each line end of a docstring, and shows `<bool>` for a flag, `<list[str]>` for a text.
"""

import inspect
import re
from typing import Any, Final

import typer
from typer.core import TyperGroup

LINE_END: Final = re.compile(r"(?<!\n)\n(?!\n)")
TYPE: Final = re.compile(r"<(?:list\[)?([^\]>]*)\]?>")

PLAIN: Final = {"bool": "", "str": "TEXT", "path": "PATH"} | dict.fromkeys(
    ("int", "int range", "float", "float range"), "NUMBER"
)
"""What a person reads for a type; of a choice its values are named."""


class Readable(TyperGroup):
    """The whole command, with all that is below it."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        _make_readable(self)


def _make_readable(command: Any) -> None:
    if command.help:
        command.help = LINE_END.sub(" ", inspect.cleandoc(command.help))
    context = typer.Context(command)
    for parameter in command.get_params(context):
        if parameter.param_type_name == "option" and parameter.metavar is None:
            name = TYPE.sub(r"\1", parameter.display_type(context))
            parameter.metavar = PLAIN.get(name, name)
    for each in getattr(command, "commands", {}).values():
        _make_readable(each)
