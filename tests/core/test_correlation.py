"""What a line says of its message, whatever was published."""

from typing import Any

import pytest

from consumer.core.correlation import correlation
from consumer.core.delivery import Properties

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_both_are_told() -> None:
    properties = Properties(message_id="m-1", headers={"traceparent": TRACE})

    assert correlation(properties) == {"message_id": "m-1", "traceparent": TRACE}


@pytest.mark.parametrize("message_id", [None, "", "a b", "ada\n", "ü", "x" * 201])
@pytest.mark.parametrize("trace", [None, "", 7, b"00", ["00"], "00\n", "SECRET", "0" * 129])
def test_what_has_not_the_form_is_left_out(message_id: Any, trace: Any) -> None:
    properties = Properties(message_id=message_id, headers={"traceparent": trace})

    assert correlation(properties) == {}


def test_where_there_is_none_nothing_is_told() -> None:
    assert correlation(Properties()) == {}
