"""What is amiss with a relay, while it is."""

from datetime import datetime

from consumer.core.outcome import Stage
from consumer.core.record import record


@record
class Trouble:
    """Since when a relay is taken to be in trouble, and where the last conversation ended."""

    since: datetime
    stage: Stage
