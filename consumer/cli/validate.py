"""`hopmail validate`: whether files are emails of the contract, and what is wrong with each."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from consumer.cli.violations import violation_lines, violations_json
from consumer.core.contract import parse
from consumer.core.exit_code import ExitCode
from consumer.core.outcome import Undecodable
from publisher_lib.message import Email
from publisher_lib.routing import TYPE

Files = Annotated[list[str], typer.Argument(help="Bodies of messages, as JSON; -: from stdin.")]
AsJSON = Annotated[bool, typer.Option("--json", help="For scripts: a list of one object a file.")]
Found = Email | Undecodable | OSError


def validate(files: Files, *, as_json: AsJSON = False) -> None:
    """Say what is wrong with emails as JSON, and how to mend it.

    Exit 1 if anything is. It is the consumer's own judgement of a message's body, and needs no
    settings, broker or relay.
    """
    found = [(name, _look(name)) for name in files]
    if as_json:
        told = [_object(name, each) for name, each in found]
        typer.echo(json.dumps(told, indent=2, ensure_ascii=False))
    else:
        for name, each in found:
            _show(name, each)
    if not all(isinstance(each, Email) for _name, each in found):
        raise typer.Exit(ExitCode.FAILED)


def read(name: str) -> bytes:
    """Return what a file holds; `-` is standard input. Raises OSError."""
    return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()


def _look(name: str) -> Found:
    try:
        return parse(read(name))
    except OSError as error:
        return error


def _show(name: str, found: Found) -> None:
    match found:
        case Email():
            count = len(found.recipients)
            typer.echo(f"✓ {name}: {TYPE}, to {count} recipient{'' if count == 1 else 's'}")
        case Undecodable():
            typer.echo(f"✗ {name}: {found.defect}")
            for line in violation_lines(found):
                typer.echo(line)
        case _:
            typer.echo(f"✗ {name}: {found.strerror}")


def _object(name: str, found: Found) -> dict[str, Any]:
    told: dict[str, Any] = {"file": name, "valid": isinstance(found, Email)}
    match found:
        case Email():
            return told | {"recipients": len(found.recipients)}
        case Undecodable():
            return told | {"defect": str(found.defect), "violations": violations_json(found)}
        case _:
            return told | {"error": found.strerror}
