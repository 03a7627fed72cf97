"""One connection to the broker with a confirming channel, from opening to its end."""

from collections import OrderedDict
from collections.abc import Collection
from typing import Any, Final, Protocol

import pika
from pika import exceptions

from publisher_lib.broker_url import BrokerURL, explain
from publisher_lib.loop import Loop
from publisher_lib.outgoing import CURE, Outgoing

ACCESS_REFUSED: Final = 403
NOT_FOUND: Final = 404
PROTOCOL_ERRORS: Final = frozenset({501, 502, 503, 505})
"""A connection is closed with these for what we wrote (AMQP 0-9-1 §1.2), never by an operator."""

GONE: Final = "its exchange or the right to it went away while it was in flight"


class Owner(Protocol):
    """Who is told what happens on a link, on the I/O thread."""

    def link_opened(self) -> None:
        """The channel stands."""

    def link_ready(self) -> None:
        """More messages can be written."""

    def confirmed(self, outgoing: Outgoing) -> None:
        """The broker has it."""

    def returned(self, outgoing: Outgoing) -> None:
        """The broker could not route it."""

    def nacked(self, outgoing: Outgoing) -> None:
        """The broker could not take it now."""

    def refused(self, words: str, unanswered: list[Outgoing]) -> None:
        """The broker closed the channel because of one of these."""

    def link_ended(self, words: str, unanswered: list[Outgoing]) -> None:
        """The connection is no more, or never came to be."""


class Link:
    """Writes messages and matches the broker's answers to them. For the I/O thread only.

    Raises OSError where a certificate's file cannot be used.
    """

    def __init__(self, broker: BrokerURL, loop: Loop, owner: Owner) -> None:
        self.address = broker.address
        self._explain = broker.explain
        self.blocked = ""
        self._loop = loop
        self._owner = owner
        self._channel: Any = None
        self._is_worn = False
        self._number = 0
        self._unanswered: OrderedDict[int, Outgoing] = OrderedDict()
        self._known_exchanges: set[str] = set()
        self._connection: Any = pika.SelectConnection(
            broker.parameters(),
            on_open_callback=self._opened,
            on_open_error_callback=self._ended,
            on_close_callback=self._ended,
            custom_ioloop=loop,
        )

    @property
    def is_ready(self) -> bool:
        """Whether the channel stands."""
        return self._channel is not None and not self._is_worn

    @property
    def is_idle(self) -> bool:
        """Whether every message was answered."""
        return not self._unanswered

    def publish(self, outgoing: Outgoing) -> None:
        """Write a message. Raises what pika raises when it cannot be encoded."""
        self._channel.basic_publish(
            outgoing.exchange,
            outgoing.routing_key,
            outgoing.body,
            outgoing.properties,
            mandatory=True,
        )
        self._number += 1
        self._unanswered[self._number] = outgoing
        outgoing.in_flight = True
        outgoing.returned = ""

    def close(self) -> None:
        """Say goodbye to the broker."""
        self._channel = None
        if self._connection.is_open:
            self._connection.close()
        else:
            # pika 1.4.4 fails an assertion of its own when it is closed while it opens.
            self._loop.cut()

    def _opened(self, connection: Any) -> None:
        self._explain = explain
        connection.add_on_connection_blocked_callback(self._block)
        connection.add_on_connection_unblocked_callback(self._unblock)
        connection.channel(on_open_callback=self._channel_opened)

    def _channel_opened(self, channel: Any) -> None:
        channel.add_on_close_callback(self._channel_closed)
        channel.add_on_return_callback(self._returned)
        channel.confirm_delivery(self._answered, callback=lambda _frame: self._ready(channel))

    def _ready(self, channel: Any) -> None:
        self._channel = channel
        self._is_worn = False
        self._number = 0
        self._known_exchanges.clear()
        self._owner.link_opened()

    def _block(self, _connection: Any, frame: Any) -> None:
        self.blocked = frame.method.reason or "no reason given"

    def _unblock(self, _connection: Any, _frame: Any) -> None:
        self.blocked = ""
        self._owner.link_ready()

    def _returned(self, _channel: Any, method: Any, properties: Any, body: bytes) -> None:
        """Mark the message; its ack follows on this channel (docs/confirms)."""
        # Copies that are alike in all this are interchangeable. Were none found, StopIteration
        # would end the connection: better than to take the ack that follows for a success.
        outgoing = next(
            candidate
            for candidate in self._unanswered.values()
            if not candidate.returned
            and candidate.properties.message_id == properties.message_id
            and candidate.exchange == method.exchange
            and candidate.routing_key == method.routing_key
            and candidate.body == body
        )
        outgoing.returned = f"{method.reply_code} {method.reply_text}"

    def _answered(self, frame: Any) -> None:
        method = frame.method
        for outgoing in self._take(method.delivery_tag, multiple=method.multiple):
            outgoing.in_flight = False
            if isinstance(method, pika.spec.Basic.Nack):
                self._is_worn = True
                self._owner.nacked(outgoing)
            elif outgoing.returned:
                self._owner.returned(outgoing)
            else:
                self._known_exchanges.add(outgoing.exchange)
                self._owner.confirmed(outgoing)
        if self._is_worn and self.is_idle and self._channel is not None:
            # Once full, a quorum queue goes on refusing this channel even when its limit is
            # lifted (seen on RabbitMQ 3.10.8); a new channel asks anew.
            self._channel.close()
        else:
            self._owner.link_ready()

    def _take(self, number: int, *, multiple: bool) -> list[Outgoing]:
        if not multiple:
            return [self._unanswered.pop(number)]
        taken = []
        while self._unanswered and next(iter(self._unanswered)) <= number:
            taken.append(self._unanswered.popitem(last=False)[1])
        return taken

    def _channel_closed(self, _channel: Any, reason: Exception) -> None:
        self._channel = None
        if not self._connection.is_open:
            # It ends, too, and has the last word.
            return
        if isinstance(reason, exceptions.ChannelClosedByBroker):
            unanswered = self._take_all()
            if reason.reply_code in {ACCESS_REFUSED, NOT_FOUND} and len(unanswered) > 1:
                _doubt_where_known(unanswered, self._known_exchanges)
            cure = f"; {CURE}" if reason.reply_code == NOT_FOUND else ""
            self._owner.refused(explain(reason) + cure, unanswered)
        self._connection.channel(on_open_callback=self._channel_opened)

    def _ended(self, _connection: Any, reason: Exception) -> None:
        self._channel = None
        words = f"{self.address}: {self._explain(reason)}"
        unanswered = self._take_all()
        if getattr(reason, "reply_code", 0) in PROTOCOL_ERRORS:
            self._owner.refused(explain(reason), unanswered)
            unanswered = []
        self._owner.link_ended(words, unanswered)

    def _take_all(self) -> list[Outgoing]:
        unanswered = list(self._unanswered.values())
        self._unanswered.clear()
        return unanswered


def _doubt_where_known(unanswered: list[Outgoing], exchanges: Collection[str]) -> None:
    """Doubt copies that may have been taken before their exchange, confirmed once, was gone."""
    for outgoing in unanswered:
        if outgoing.exchange in exchanges:
            outgoing.doubted(GONE)
