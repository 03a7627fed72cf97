"""Which errors of a disk pass, and which ask for other settings."""

import errno
from typing import Final

PASSING: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})
"""A disk that is full, read-only or failing comes right without any change to the settings."""

CANNOT_SYNC: Final = frozenset({errno.EINVAL, errno.ENOTSUP})
"""Of a folder: some that virtual machines and containers share have no such thing."""
