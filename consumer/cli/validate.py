"""`hopmail validate`: whether files are emails of the contract, and what is wrong with each."""

import json
from typing import Annotated, Any

import typer

from consumer.cli.reading import read
from consumer.cli.violations import violation_lines, violations_json
from consumer.core.contract import parse
from consumer.core.contract_cure import repeated
from consumer.core.exit_code import ExitCode
from consumer.core.outcome import Undecodable
from publisher_lib.message import Email
from publisher_lib.routing import TYPE

Files = Annotated[list[str], typer.Argument(help="Bodies of messages, as JSON; -: from stdin.")]
AsJSON = Annotated[bool, typer.Option("--json", help="For scripts: a list of one object a file.")]
Found = tuple[bytes, Email | Undecodable] | OSError


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
    if not all(_is_valid(each) for _name, each in found):
        raise typer.Exit(ExitCode.FAILED)


def _look(name: str) -> Found:
    try:
        body = read(name)
    except OSError as error:
        return error
    return body, parse(body)


def _show(name: str, found: Found) -> None:
    match found:
        case body, Email() as email:
            count = len(email.recipients)
            typer.echo(f"✓ {name}: {TYPE}, to {count} recipient{'' if count == 1 else 's'}")
            for field in repeated(body):
                typer.echo(f"  {field} is given twice: the last one counts")
        case body, Undecodable() as breach:
            typer.echo(f"✗ {name}: {breach.defect}")
            for line in violation_lines(breach, body):
                typer.echo(line)
        case OSError() as error:
            typer.echo(f"✗ {name}: {error.strerror}")


def _object(name: str, found: Found) -> dict[str, Any]:
    told: dict[str, Any] = {"file": name, "valid": _is_valid(found)}
    match found:
        case body, Email() as email:
            return told | {"recipients": len(email.recipients), "given_twice": repeated(body)}
        case body, Undecodable() as breach:
            violations = violations_json(breach, body)
            return told | {"defect": str(breach.defect), "violations": violations}
        case _:
            return told | {"error": getattr(found, "strerror", None)}


def _is_valid(found: Found) -> bool:
    return not isinstance(found, OSError) and isinstance(found[1], Email)
