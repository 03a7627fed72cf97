"""The mail that every contender sends: text and HTML, 1.2 KB together with its header."""

from typing import Any, Final

from publisher_lib import Content, Email

SENDER: Final = "Example App <noreply@app.example.org>"
SUBJECT: Final = "Please confirm your address"
LINK: Final = "https://app.example.org/confirm?token=5f0c1e9a7b3d48269e1f"

TEXT: Final = f"""\
Hello Ada,

thank you for joining. Please confirm your address within a day:

{LINK}

If it was not you who joined, there is nothing to do.

Your Example App
"""

HTML: Final = f"""\
<!doctype html>
<html lang="en"><body>
<p>Hello Ada,</p>
<p>thank you for joining. Please confirm your address within a day:</p>
<p><a href="{LINK}">Confirm</a></p>
<p>If it was not you who joined, there is nothing to do.</p>
<p>Your Example App</p>
</body></html>
"""


def recipient(number: int) -> str:
    """Return whom the mail of this number goes to."""
    return f"ada.{number}@example.org"


def email(number: int, **more: Any) -> Email:
    """Return the mail of this number; `more` fields are added."""
    return Email(
        email_to=recipient(number),
        email_from=SENDER,
        subject=SUBJECT,
        message=Content(text=TEXT, html=HTML),
        **more,
    )
