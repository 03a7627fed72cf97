"""What is set that must not be in production: logged at the start, shown by check and status."""

from collections.abc import Mapping
from typing import Final

from consumer.core.folder_url import FolderURL
from consumer.settings import Settings

RELAY: Final = "HOPMAIL_SMTP_URL"
DIVERT_TO: Final = "HOPMAIL_DIVERT_TO"
ALLOWED: Final = "HOPMAIL_ALLOWED_RECIPIENT_DOMAINS"
CAUTIONED: Final = (RELAY, DIVERT_TO, ALLOWED)

FOLDER: Final = f"{RELAY} is a folder: mail is written there and reaches nobody"


def cautions(settings: Settings) -> Mapping[str, str]:
    """Return a line for each such setting, without any address."""
    found: dict[str, str] = {}
    diversion = settings.diversion
    if diversion is not None:
        found[DIVERT_TO if diversion.allowed is None else ALLOWED] = diversion.caution
    if any(isinstance(url, FolderURL) for url in settings.relays):
        found[RELAY] = FOLDER
    return found
