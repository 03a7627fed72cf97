"""Whether an email's time has come, or gone."""

from datetime import datetime

from consumer.core.outcome import Expired, NotDue
from publisher_lib.message import Email


def not_now(email: Email, now: datetime) -> NotDue | Expired | None:
    """Return why the email must not be sent at `now`; None when it may."""
    if email.expires_at is not None and email.expires_at <= now:
        return Expired(email.expires_at)
    if email.send_at is not None and email.send_at > now:
        return NotDue(email.send_at - now)
    return None
