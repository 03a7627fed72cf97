"""A folder's URL: what is one, and a sentence for what is not."""

import pytest

from consumer.core.folder_url import FolderURL


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("file:///var/mails", "/var/mails"),
        (" FILE:///var/mails/ ", "/var/mails"),
        ("file:///my%20mails/%C3%A9", "/my mails/é"),
    ],
)
def test_a_url_is_read(text: str, path: str) -> None:
    assert FolderURL.is_meant(text)
    url = FolderURL.parse(text)
    assert (url.path, url.place, str(url)) == (path, f"file://{path}", f"file://{path}")
    assert url.sessions is url.rate is None


@pytest.mark.parametrize(
    "text",
    [
        "file://mails",
        "file://localhost/mails",
        "file:mails",
        "file:///",
        "file:///mails?sessions=1",
        "file:///mails#x",
        "file:///a%0Ab",
        "file:///a%00b",
        "file:///möwe",
    ],
)
def test_what_is_wrong_says_what_is_right(text: str) -> None:
    with pytest.raises(ValueError, match="expected file:///absolute/path/of/a/folder"):
        FolderURL.parse(text)
