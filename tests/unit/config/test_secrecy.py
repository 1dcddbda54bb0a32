"""What must not be shown, wherever it stands: also what libpq finds by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from sentinel.config import load
from sentinel.config.secrecy import find_secrets

DATABASE = """
platform: shop
resources:
  db: {{postgres: "{address}"}}
checks:
  - {{name: db, kind: postgres, component: db, resource: db}}
components:
  db: {{resource: db}}
"""


def read(tmp_path: Path, address: str) -> frozenset[str]:
    """The secrets of a configuration with one database."""
    (tmp_path / "sentinel.yaml").write_text(DATABASE.format(address=address))
    return load(tmp_path, {}).secrets


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("PGPASSWORD", "hunter2hunter2", "hunter2hunter2"),
        ("SHOP_DBPASSWORD", "hunter2hunter2", "hunter2hunter2"),
        ("DATABASE_URL", "postgres://u:hunter2%21x@db/shop", "hunter2!x"),
        ("DSN", "host=db user=u password=hunter2hunter2 dbname=x", "hunter2hunter2"),
        ("DSN", r"host=db password = 'hunt \'er2' sslmode=require", "hunt 'er2"),
        ("DSN", "host=db sslpassword=hunter2hunter2", "hunter2hunter2"),
    ],
)
def test_what_the_environment_says_is_hidden(name: str, value: str, secret: str) -> None:
    """By the name of the variable, or by what it holds."""
    assert secret in set(find_secrets([], [], [], {name: value}))


def test_names_of_files_are_not_hidden() -> None:
    """A path is no secret, and hidden, no text could name what is in it."""
    environment = {"PGPASSFILE": "/etc/pgpass-shop", "API_TOKEN_FILE": "/run/secrets/token"}
    assert set(find_secrets([], [], [], environment)) == set()


def test_passwords_that_libpq_finds_are_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a service, in the environment, and in the file of passwords."""
    service, passfile = tmp_path / "service.conf", tmp_path / "passwords"
    service.write_text("[shop]\nhost=127.0.0.1\nuser=u\npassword=of-the-service\n")
    passfile.write_text("# a:b:c:d:a-comment\n*:*:*:u:of-the\\:file\nh\\:1:5432:x:v:another:one\n")
    passfile.chmod(0o600)
    monkeypatch.setenv("PGSERVICEFILE", str(service))
    monkeypatch.setenv("PGPASSFILE", str(passfile))
    found = read(tmp_path, "service=shop")
    assert {"of-the-service", "of-the:file", "another:one"} <= found
    assert "a-comment" not in found
    monkeypatch.setenv("PGPASSWORD", "of-the-environment")
    assert "of-the-environment" in read(tmp_path, "host=127.0.0.1 user=u")


def test_a_file_of_passwords_that_is_none_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be a folder, or not there: libpq goes on without it."""
    for path in (tmp_path, tmp_path / "nothing"):
        monkeypatch.setenv("PGPASSFILE", str(path))
        assert read(tmp_path, "host=127.0.0.1 user=u") == frozenset()
