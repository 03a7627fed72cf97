"""The `hopmail` command."""

import sys
from typing import Final

OF_THE_DAEMON: Final = frozenset(
    {"jsonschema", "prometheus_client", "pydantic_settings", "supervisor", "typer"}
)
"""What the extra `consumer` installs beyond what the publisher needs."""


def main() -> None:
    """Run the command line, or say how to install what it needs."""
    try:
        from consumer.cli.app import app  # noqa: PLC0415 - it may not be importable
    except ModuleNotFoundError as error:
        if error.name not in OF_THE_DAEMON:
            raise
        sys.exit(
            f"✗ only the publisher library is installed here, {error.name} is missing: install the"
            " daemon with the extra `consumer`, as in pip install '.[consumer]'"
        )
    app(prog_name="hopmail")


if __name__ == "__main__":
    main()
