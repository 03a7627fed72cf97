"""What the figures were measured on."""

import os
import platform
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from benchmarks.sink import program
from tests.support.broker import Broker

PACKAGES: Final = (
    *("pika", "pydantic", "prometheus_client"),
    *("celery", "kombu", "amqp", "dramatiq"),
)
GIBIBYTE: Final = 2**30


def describe(broker: Broker) -> str:
    """Return two sentences on machine and programs."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIBIBYTE
    overview = broker.request("GET", "overview")
    load = os.getloadavg()[0]
    return (
        f"On {datetime.now(UTC):%Y-%m-%d}: {_processor()}, {len(os.sched_getaffinity(0))} cores,"
        f" {memory:.0f} GiB, load {load:.1f} before it began; Linux {platform.release()}."
        f" Hopmail {_commit()}, Python {platform.python_version()},"
        f" RabbitMQ {overview['rabbitmq_version']} on Erlang {overview['erlang_version']},"
        f" Postfix {_told(program('postconf'), '-d', '-h', 'mail_version')},"
        f" {', '.join(_packages())}."
    )


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    fields = (line.partition(":") for line in lines)
    return next((value.strip() for name, _, value in fields if "model name" in name), "unnamed CPU")


def _commit() -> str:
    with suppress(OSError, subprocess.CalledProcessError):
        changed = _told("git", "status", "--porcelain", "--untracked-files=no")
        return _told("git", "rev-parse", "--short", "HEAD") + (" with changes" if changed else "")
    return "of an unknown commit"


def _packages() -> Iterator[str]:
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            yield f"{name} {version(name)}"


def _told(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
