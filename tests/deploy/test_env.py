"""`make env` makes .env, with passwords of its own, and never touches one that is there."""

import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a folder with what it needs."""
    (tmp_path / "dev").mkdir()
    for name in ("dev/env.sh", ".env.example"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def make_env(checkout: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [checkout / "dev/env.sh"], capture_output=True, text=True, check=False, cwd="/"
    )


def values(path: Path) -> dict[str, str]:
    return dict(re.findall(r"^(\w+)=(.*)$", path.read_text(), re.MULTILINE))


def test_each_password_is_made_and_the_rest_is_the_examples(checkout: Path) -> None:
    made = make_env(checkout)

    assert made.returncode == 0, made.stderr
    example, env = values(checkout / ".env.example"), values(checkout / ".env")
    passwords = {name: value for name, value in env.items() if name.endswith("_PASSWORD")}
    assert len(set(passwords.values())) == len(passwords) == 5
    assert all(re.fullmatch(r"[A-Za-z0-9]{32}", password) for password in passwords.values())
    assert env == example | passwords
    assert not any(password in made.stdout for password in passwords.values())


def test_only_its_owner_can_read_it(checkout: Path) -> None:
    make_env(checkout)

    assert stat.S_IMODE((checkout / ".env").stat().st_mode) == 0o600
    assert {path.name for path in checkout.iterdir()} == {"dev", ".env.example", ".env"}


def test_one_that_is_there_stays(checkout: Path) -> None:
    (checkout / ".env").write_text("RELAY_URL=mine\n")

    refused = make_env(checkout)

    assert refused.returncode == 1
    assert refused.stderr.startswith("✗ there is an .env already")
    assert (checkout / ".env").read_text() == "RELAY_URL=mine\n"


def test_it_is_no_part_of_the_repository_nor_of_the_image() -> None:
    assert ".env" in (ROOT / ".gitignore").read_text().splitlines()
    assert "!.env" not in (ROOT / ".dockerignore").read_text()
