"""What a private RabbitMQ node is told: its files and its environment."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dev.installation import PATH
from dev.processes import free_ports


@dataclass(frozen=True)
class Place:
    """Where a node listens and keeps its data."""

    folder: Path
    address: str
    amqp_port: int
    management_port: int
    prometheus_port: int
    distribution_port: int

    @classmethod
    def free(cls, folder: Path, address: str) -> "Place":
        """Return one with ports nobody listens on."""
        return cls(folder, address, *free_ports(4))

    @property
    def node_name(self) -> str:
        """The name of the node there, unlike that of any other here."""
        return f"hopmail{self.amqp_port}@{self.address}"


def write_files(
    place: Place,
    owner: tuple[int, int] | None,
    *,
    cookie: str,
    management: bool,
    prometheus: bool,
    settings: Mapping[str, object],
) -> None:
    """Write the node's files into its folder, for the account that runs it."""
    lines: dict[str, object] = {
        "listeners.tcp.default": f"{place.address}:{place.amqp_port}",
        "loopback_users": "none",
        "log.console": "true",
        "log.console.level": "warning",
        "log.file": "false",
        # A laptop's nearly full disk must not stop a demo.
        "disk_free_limit.absolute": "50MB",
    }
    if management:
        lines["management.tcp.ip"] = place.address
        lines["management.tcp.port"] = place.management_port
        lines["collect_statistics_interval"] = 1000
    if prometheus:
        lines["prometheus.tcp.ip"] = place.address
        lines["prometheus.tcp.port"] = place.prometheus_port
    lines |= settings
    plugins = [
        *(["rabbitmq_management"] if management else []),
        *(["rabbitmq_prometheus"] if prometheus else []),
    ]
    files = {
        "plugins": f"[{','.join(plugins)}].\n",
        "rabbitmq.conf": "".join(f"{name} = {value}\n" for name, value in lines.items()),
        ".erlang.cookie": cookie,
    }
    for name, text in files.items():
        (place.folder / name).write_text(text)
    # Erlang refuses a cookie that others may read.
    (place.folder / ".erlang.cookie").chmod(0o400)
    if owner is not None:
        for path in (place.folder, *place.folder.iterdir()):
            os.chown(path, *owner)


def environment(place: Place, mapper_port: int, arguments: Sequence[str]) -> dict[str, str]:
    """Return the variables that node and `rabbitmqctl` need; `arguments` are for Erlang."""
    interface = "{" + place.address.replace(".", ",") + "}"
    return {
        "PATH": PATH,
        "HOME": str(place.folder),
        "LC_ALL": "C.UTF-8",
        "ERL_EPMD_PORT": str(mapper_port),
        "RABBITMQ_NODENAME": place.node_name,
        "RABBITMQ_USE_LONGNAME": "true",
        "RABBITMQ_DIST_PORT": str(place.distribution_port),
        "RABBITMQ_CONFIG_FILE": str(place.folder / "rabbitmq"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(place.folder / "plugins"),
        "RABBITMQ_MNESIA_BASE": str(place.folder / "data"),
        "RABBITMQ_LOG_BASE": str(place.folder / "log"),
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": " ".join(
            (
                # Each port the runtime opens stays on this machine,
                *("-kernel", "inet_dist_use_interface", interface),
                # and its address tells which node it was that connected.
                *("-kernel", "inet_dist_connect_options", f"[{{ip,{interface}}}]"),
                *arguments,
            )
        ),
    }
