"""A real node_exporter and a real Prometheus, on ports of their own, gone when done."""

import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final
from urllib.error import URLError
from urllib.request import urlopen

import yaml

from dev.processes import LOOPBACK, free_ports, stop, unhurried
from dev.prometheus import Prometheus

CONFIG: Final = Path(__file__).parents[1] / "deploy" / "prometheus" / "prometheus.yml"
SCRAPE: Final = "1s"
START_SECONDS: Final = 30.0
STOP_SECONDS: Final = 10.0

NODE_EXPORTER: Final = "node-exporter"
BROKER: Final = "rabbitmq"
"""Hosts of the targets in `CONFIG`."""


class MonitoringFailed(Exception):
    """It is not installed or does not start; the text says what is known."""


@contextmanager
def monitoring(
    folder: Path, metrics: Path, *, broker_port: int | None = None
) -> Iterator[Prometheus]:
    """Scrape the files in `metrics` each second, for the length of a block; keep data in `folder`.

    The jobs are those of deploy/prometheus, the broker's only where its plugin's port is given.
    Raises MonitoringFailed.
    """
    exporter_port, port = free_ports(2)
    ports = {NODE_EXPORTER: exporter_port} | ({BROKER: broker_port} if broker_port else {})
    config = folder / "prometheus.yml"
    folder.mkdir(parents=True, exist_ok=True)
    config.write_text(yaml.safe_dump(adapted(yaml.safe_load(CONFIG.read_text()), ports)))
    with (
        _running("prometheus-node-exporter", exporter_arguments(exporter_port, metrics), folder),
        _running("prometheus", _prometheus_arguments(port, config, folder), folder),
    ):
        prometheus = Prometheus(f"http://{LOOPBACK}:{port}")
        _wait_scraping(prometheus)
        yield prometheus


def adapted(config: dict[str, Any], ports: dict[str, int]) -> dict[str, Any]:
    """Return a configuration with each target on loopback, at the port of its host.

    Jobs whose host has none are left out.
    """
    scrapes = []
    for job in config["scrape_configs"]:
        (static,) = job["static_configs"]
        hosts = [target.partition(":")[0] for target in static["targets"]]
        targets = [f"{LOOPBACK}:{ports[host]}" for host in hosts if host in ports]
        if targets:
            scrapes.append({**job, "static_configs": [{"targets": targets}]})
    rules = [str(CONFIG.with_name(Path(name).name)) for name in config.get("rule_files", ())]
    return {
        "global": {"scrape_interval": SCRAPE, "evaluation_interval": SCRAPE},
        "rule_files": rules,
        "scrape_configs": scrapes,
    }


def exporter_arguments(port: int, metrics: Path) -> list[str]:
    """Return node_exporter's, as in the compose file: the textfile collector and nothing else."""
    return [
        f"--web.listen-address={LOOPBACK}:{port}",
        "--collector.disable-defaults",
        "--collector.textfile",
        f"--collector.textfile.directory={metrics}",
    ]


def _prometheus_arguments(port: int, config: Path, folder: Path) -> list[str]:
    return [
        f"--web.listen-address={LOOPBACK}:{port}",
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        "--log.level=warn",
    ]


@contextmanager
def _running(name: str, arguments: Sequence[str], folder: Path) -> Iterator[None]:
    program = shutil.which(name)
    if program is None:
        raise MonitoringFailed(f"{name} is missing: dev/setup.sh --with monitoring installs it")
    output = folder / f"{name}.log"
    process = None
    try:
        with unhurried(), output.open("wb") as log:
            process = subprocess.Popen(
                [program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # A Ctrl-C is for us; we stop what we started when we are done with it.
                start_new_session=True,
            )
        _wait_ready(process, arguments[0].rpartition("=")[2], output)
        yield
    finally:
        if process is not None:
            with unhurried():
                stop(process, STOP_SECONDS)


def _wait_ready(process: "subprocess.Popen[bytes]", address: str, output: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _answers(address):
        if process.poll() is not None or time.monotonic() > deadline:
            raise MonitoringFailed(f"it did not start:\n{output.read_text()}")
        time.sleep(0.05)


def _wait_scraping(prometheus: Prometheus) -> None:
    # Prometheus hands its targets on five seconds after its start.
    deadline = time.monotonic() + START_SECONDS
    while set((targets := prometheus.targets()).values()) != {"up"}:
        if time.monotonic() > deadline:
            raise MonitoringFailed(f"it does not scrape: {targets}")
        time.sleep(0.1)


def _answers(address: str) -> bool:
    # node_exporter answers every path it does not know with its front page.
    with suppress(URLError, OSError), urlopen(f"http://{address}/-/ready", timeout=5):
        return True
    return False
