"""Which message a thread's lines are about."""

from consumer.core.outcome import Accepted, Reply
from consumer.ops.concerning import Concerning, ids
from tests.ops.deliveries import handled


def test_lines_name_a_message_only_while_it_is_worked_on() -> None:
    properties = handled(Accepted(Reply(250))).delivery.properties

    with Concerning(properties):
        assert ids()["message_id"] == properties.message_id

    assert ids() == {}
