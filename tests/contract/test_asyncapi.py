"""The AsyncAPI document says what the code does."""

from pathlib import Path
from typing import Any

import yaml

from consumer.core.dead_body import BODY, BODY_KEY
from consumer.core.disposition import Reason
from consumer.core.followup import DETAIL, LANE, LAST_ATTEMPT_MS, REASON
from consumer.core.trail import OURS
from publisher_lib.routing import (
    CONTENT_TYPE,
    DEAD_EXCHANGE,
    EXCHANGE,
    PUBLISHED_AT_MS,
    RETRY_EXCHANGE,
    TRACE_HEADERS,
    TYPE,
    Lane,
)

SCHEMAS = Path(__file__).parents[2] / "schemas"
DOCUMENT: dict[str, Any] = yaml.safe_load((SCHEMAS / "asyncapi.yaml").read_text())


def exchange_of(channel: str) -> dict[str, Any]:
    found: dict[str, Any] = DOCUMENT["channels"][channel]["bindings"]["amqp"]["exchange"]
    return found


def test_each_lane_is_a_routing_key_of_the_exchange() -> None:
    for lane in Lane:
        assert lane == DOCUMENT["channels"][lane]["address"]
        assert exchange_of(lane) == {
            "name": EXCHANGE,
            "type": "direct",
            "durable": True,
            "autoDelete": False,
        }
    assert exchange_of("retry")["name"] == RETRY_EXCHANGE
    assert exchange_of("dead")["name"] == DEAD_EXCHANGE


def test_type_content_type_and_payload_are_those_of_the_code() -> None:
    message = DOCUMENT["components"]["messages"]["email"]

    assert message["bindings"]["amqp"]["messageType"] == TYPE
    assert message["contentType"] == CONTENT_TYPE
    assert (SCHEMAS / message["payload"]["schema"]["$ref"]).is_file()
    assert {PUBLISHED_AT_MS, *TRACE_HEADERS} == set(message["headers"]["properties"])


def test_the_consumers_headers_and_reasons_are_all_there() -> None:
    components = DOCUMENT["components"]
    trail = components["schemas"]["trail"]["properties"]
    dead = components["messages"]["deadLetter"]["headers"]["allOf"][1]["properties"]

    assert set(OURS) == set(trail)
    assert {REASON, DETAIL, LANE, LAST_ATTEMPT_MS, BODY, BODY_KEY} == set(dead)
    assert [reason.value for reason in Reason] == dead[REASON]["enum"]


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if "$ref" in node else []
        return own + [ref for value in node.values() for ref in references(value)]
    return [ref for item in node for ref in references(item)] if isinstance(node, list) else []


def test_every_reference_leads_somewhere() -> None:
    for reference in references(DOCUMENT):
        if reference.startswith("#/"):
            node: Any = DOCUMENT
            for step in reference.removeprefix("#/").split("/"):
                node = node[step]
        else:
            assert (SCHEMAS / reference).is_file()
