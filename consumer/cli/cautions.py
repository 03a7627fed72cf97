"""What is set that must not be in production: logged at the start, shown by check and status."""

from consumer.settings import Settings


def cautions(settings: Settings) -> tuple[str, ...]:
    """Return a line for each, without any address."""
    diversion = settings.diversion
    return () if diversion is None else (diversion.caution,)
