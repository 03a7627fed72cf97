"""What is set that must not be in production: logged at the start, shown by check and status."""

from consumer.core.folder_url import FolderURL
from consumer.settings import Settings

FOLDER = "HOPMAIL_SMTP_URL is a folder: mail is written there and reaches nobody"


def cautions(settings: Settings) -> tuple[str, ...]:
    """Return a line for each, without any address."""
    diversion = settings.diversion
    found = [] if diversion is None else [diversion.caution]
    if any(isinstance(url, FolderURL) for url in settings.relays):
        found.append(FOLDER)
    return tuple(found)
