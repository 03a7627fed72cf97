"""The nodes of a cluster, as the clients and the operator of one virtual host see them."""

from functools import partial
from typing import Any
from urllib.parse import quote

import requests

from dev.broker import Node
from dev.cluster import Cluster
from publisher_lib.broker_url import CONNECT_ERRORS
from tests.support.broker import Broker, VirtualHost
from tests.support.consumer_process import wait_until

WHOLE_SECONDS = 60.0


class Members:
    """The nodes, and the virtual host of each: they are one and the same."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.nodes = cluster.nodes
        self.hosts = [
            VirtualHost(Broker(node.url, node.management_url), name) for node in cluster.nodes
        ]
        self._path = quote(name, safe="")

    @property
    def urls(self) -> str:
        """Every node's URL for the consumer's login."""
        return ",".join(host.url for host in self.hosts)

    @property
    def app_urls(self) -> str:
        """Every node's URL for the app's login."""
        return ",".join(host.app_url for host in self.hosts)

    def create(self) -> None:
        """Make the virtual host, and wait until its logins may use it on every node."""
        self.hosts[0].create()
        for host in self.hosts:
            wait_until(partial(_lets_in, host), WHOLE_SECONDS, "the virtual host everywhere")

    def others(self, node: Node) -> list[Node]:
        """Return all but one."""
        return [other for other in self.nodes if other is not node]

    def leader(self, queue: str) -> Node:
        """Return the node of a queue's leader, on a cluster that is whole."""
        led_by = self._leader(queue, self.nodes[0])
        (node,) = [node for node in self.nodes if node.name == led_by]
        return node

    def wait_led_by_another(self, queue: str, than: Node) -> None:
        """Wait until the rest of the cluster has given a queue another leader."""
        (witness, *_more) = self.others(than)
        unwanted = {than.name, ""}
        wait_until(
            lambda: self._leader(queue, witness) not in unwanted, WHOLE_SECONDS, "a new leader"
        )

    def wait_lonely(self, node: Node) -> None:
        """Wait until a node has noticed that it sees no other, or has stopped because of that."""
        host = self.hosts[self.nodes.index(node)]
        wait_until(partial(_is_lonely, host), WHOLE_SECONDS, "a node that feels lonely")

    def wait_whole(self, queue: str) -> None:
        """Wait until every node knows of every replica of a queue that it runs."""
        wait_until(
            lambda: all(self._is_whole(queue, node) for node in self.nodes),
            WHOLE_SECONDS,
            "a whole cluster",
        )

    def rejoin(self, node: Node) -> None:
        """Start RabbitMQ on a node anew that had lost the others, as an operator must.

        https://www.rabbitmq.com/docs/partitions#recovering
        """
        node.wait_ready()
        node.control("stop_app")
        node.control("start_app")
        node.wait_ready()

    def _leader(self, queue: str, witness: Node) -> str:
        return str(self._queue(queue, witness).get("leader", ""))

    def _is_whole(self, queue: str, node: Node) -> bool:
        online = self._queue(queue, node).get("online", ())
        return set(online) == {member.name for member in self.nodes}

    def _queue(self, queue: str, node: Node) -> dict[str, Any]:
        broker = self.hosts[self.nodes.index(node)].broker
        try:
            found: dict[str, Any] = broker.request("GET", f"queues/{self._path}/{queue}")
        except requests.RequestException:
            # Starting, stopped by its own decision, or its queues not counted yet.
            return {}
        return found


def _lets_in(host: VirtualHost) -> bool:
    try:
        with host.channel(host.url), host.channel(host.app_url):
            return True
    except CONNECT_ERRORS:
        return False


def _is_lonely(host: VirtualHost) -> bool:
    try:
        nodes = host.broker.request("GET", "nodes")
    except requests.RequestException:
        return True
    return [node["running"] for node in nodes].count(True) == 1
