import subprocess
import sys

import pytest

from dev.network import NotPrivate, parted, within
from tests.dev.script import ROOT

ALICE, BOB, EVE = "127.0.0.11", "127.0.0.12", "127.0.0.13"

# Prints before, within and after a parting who reaches whom.
TALK = f"""
import socket
from dev.network import parted

def reaches(source, target):
    with socket.create_server((target, 0)) as listener, socket.socket() as client:
        client.settimeout(5)
        client.bind((source, 0))
        try:
            client.connect(listener.getsockname())
        except OSError:
            return False
        listener.accept()[0].close()
        return True

def told():
    return reaches("{ALICE}", "{BOB}"), reaches("{BOB}", "{ALICE}"), reaches("{EVE}", "{ALICE}")

print(told())
with parted("{ALICE}", ["{BOB}"]):
    print(told())
print(told())
"""


@pytest.mark.cluster
def test_who_is_parted_reaches_each_other_no_more_until_the_end() -> None:
    talk = subprocess.run(
        within(sys.executable, "-c", TALK), cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert talk.stdout.splitlines() == [
        "(True, True, True)",
        "(False, False, True)",
        "(True, True, True)",
    ]


def test_the_machines_own_network_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOPMAIL_TEST_PRIVATE_NETWORK", raising=False)

    with pytest.raises(NotPrivate, match="make test-cluster"), parted(ALICE, [BOB]):
        pytest.fail("it was changed")
