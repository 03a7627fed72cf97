"""A body in a person's editor: what they wrote is not lost."""

import json
import os
import shlex
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import typer

from consumer.cli.deadletters.hands import fail

EDITORS: Final = ("VISUAL", "EDITOR")


@contextmanager
def in_editor(before: bytes) -> Iterator[bytes]:
    """Have a person change a body; their file is kept unless the block ends well."""
    editor = next((os.environ[name] for name in EDITORS if os.environ.get(name)), None)
    if editor is None:
        fail("set EDITOR to your editor, or say --set FIELD=VALUE or --from-file FILE")
    # Only its owner can read it: a body may hold secrets.
    handle, name = tempfile.mkstemp(prefix="hopmail-", suffix=".json")
    os.close(handle)
    path, shown, is_to_keep = Path(name), _pretty(before), False
    try:
        path.write_bytes(shown)
        _run(editor, name)
        after = path.read_bytes()
        is_to_keep = after != shown
        yield after if is_to_keep else before
        is_to_keep = False
    except OSError as error:
        fail(f"{path}: {error.strerror}")
    finally:
        if is_to_keep:
            typer.echo(f"  what you wrote is in {path}: use it by --from-file", err=True)
        else:
            path.unlink(missing_ok=True)


def _run(editor: str, name: str) -> None:
    try:
        ended = subprocess.run([*shlex.split(editor), name], check=False)  # noqa: S603 - theirs
    except (OSError, ValueError) as error:
        fail(f"{editor!r} cannot be started: {getattr(error, 'strerror', error)}")
    if ended.returncode:
        fail(f"{editor!r} ended with {ended.returncode}: nothing was sent")


def _pretty(body: bytes) -> bytes:
    try:
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False).encode() + b"\n"
    except (ValueError, RecursionError):
        return body
