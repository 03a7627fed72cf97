"""What the broker lists as connections."""

from tests.support.broker import VirtualHost


def connections(vhost: VirtualHost, name: str) -> list[str]:
    """Return the broker's names for the connections that call themselves `name`."""
    listed = vhost.broker.request("GET", f"vhosts/{vhost.name}/connections")
    return [
        connection["name"]
        for connection in listed
        if connection.get("client_properties", {}).get("connection_name") == name
    ]
