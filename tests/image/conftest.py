"""Of the container image: left out, as tests/conftest.py says, where none can be built."""

from dev.image import can_be_built

collect_ignore_glob = [] if can_be_built() else ["test_*.py"]
