"""One of the relays, with its breaker, its sessions and its pace."""

from consumer.core.folder_url import FolderURL
from consumer.core.record import record
from consumer.core.relay_url import RelayURL
from consumer.smtp.breaker import Breaker
from consumer.smtp.folder import Folder
from consumer.smtp.handing_over import AnyRelay, AnyTransactor
from consumer.smtp.pace import Pace
from consumer.smtp.pool import Pool
from consumer.smtp.relay import Relay


@record
class Turn:
    """A relay that takes a mail now: a session, and a token where its rate is limited."""

    member: "Member"
    transactor: AnyTransactor

    def end(self, *, used: bool) -> None:
        """Give back the session, and the token too unless it was `used`."""
        member = self.member
        if self.transactor.is_told:
            # Of a mail that does not come now.
            self.transactor.drop()
        if not used and member.pace is not None:
            member.pace.give_back()
        member.pool.give_back(self.transactor)
        if member.breaker.is_open:
            # A relay that counts sessions must have one left for the probe.
            member.pool.drop()


class Member:
    """A relay in the list, shared by all threads."""

    def __init__(self, url: RelayURL | FolderURL, pace: Pace | None) -> None:
        self.name = url.place
        self.url = url
        self.relay = relay_at(url)
        self.breaker = Breaker(lambda: self.relay.probe().trouble, self.name)
        self.pool = Pool(self.relay, url.sessions)
        self.pace = pace

    def turn(self) -> Turn | float | None:
        """Return a turn; the seconds until the next token; or None while every session is lent."""
        transactor = self.pool.take()
        if transactor is None:
            return None
        wait_seconds = self.pace.take() if self.pace is not None else 0.0
        if wait_seconds == 0:
            return Turn(self, transactor)
        self.pool.give_back(transactor)
        return wait_seconds


def relay_at(url: RelayURL | FolderURL) -> AnyRelay:
    """Return what takes the mail there."""
    return Folder(url) if isinstance(url, FolderURL) else Relay(url)
