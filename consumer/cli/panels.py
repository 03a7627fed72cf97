"""The groups in which `hopmail` shows its commands, in the order of a day's work."""

from typing import Final

RUN: Final = "Run the service"
LOOK: Final = "Look"
MAIL: Final = "Act on mail"
SET_UP: Final = "Set up"
