"""Passwords: from one place, from files as Docker and Kubernetes mount them, and in no message."""

from __future__ import annotations

import os
import random
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from sentinel.cli import main
from sentinel.config import load
from sentinel.config.secret import find_open_fault
from sentinel.errors import ConfigurationError
from sentinel.strict.file import FileContent

HEAD = """
components: {{c: {{}}}}
checks: [{{name: t, kind: tcp, component: c, address: "127.0.0.1:9"}}]
resources:
  bus: {{{resource}}}
"""
FILE = 'redis: "redis://agent@bus:6379/0", password_file: secret'


def write(folder: Path, resource: str, secret: bytes | None = None, mode: int = 0o600) -> Path:
    """A configuration with one resource, and its secret file."""
    (folder / "sentinel.yaml").write_text(HEAD.format(resource=resource))
    if secret is not None:
        (folder / "secret").write_bytes(secret)
        (folder / "secret").chmod(mode)
    return folder


def problems_of(folder: Path, **environment: str) -> list[str]:
    """What it is refused for."""
    with pytest.raises(ConfigurationError) as caught:
        load(folder, environment)
    return [str(problem) for problem in caught.value.problems]


def said_of(folder: Path) -> str:
    """What it is refused for, or ""."""
    try:
        load(folder, {})
    except ConfigurationError as error:
        return str(error)
    return ""


def password_of(folder: Path) -> str:
    """What would be sent."""
    password = load(folder, {}).resources["bus"].password
    return password.get_secret_value() if password else ""


@pytest.mark.parametrize(
    ("content", "sent"),
    [
        (b"pw", "pw"),
        (b"pw\n", "pw"),
        (b"pw\r\n", "pw"),
        (b" p w \n", " p w "),
        ("päß#?/@%".encode(), "päß#?/@%"),
    ],
)
def test_the_line_break_is_no_part_of_it(tmp_path: Path, content: bytes, sent: str) -> None:
    """Everything else is, blanks among it."""
    assert password_of(write(tmp_path, FILE, content)) == sent


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"  \n", "is empty"),
        (b"\xef\xbb\xbfpw\n", "begins with a byte order mark"),
        ("pw\n".encode("utf-16"), "begins with a byte order mark"),
        (b"pw\xff", "is not UTF-8 text"),
        (b"one\ntwo\n", "holds a line break or a control character"),
        (b"p\0w", "holds a line break or a control character"),
        (b"x" * (65 << 10), "is larger than 64 KiB"),
    ],
)
def test_what_is_no_secret(tmp_path: Path, content: bytes, fault: str) -> None:
    """Refused at its line; nothing of it is repeated."""
    (problem,) = problems_of(write(tmp_path, FILE, content))
    assert (
        f"sentinel.yaml:5: resources.bus.password_file: the secret file secret {fault}" in problem
    )
    assert "remedy" in problem
    assert "pw" not in problem.replace(str(tmp_path), "")


@pytest.mark.parametrize("path", ["/dev/zero", "pipe", "loop", ".", "x" * 5000, '"a\\0b"'])
def test_what_is_no_file_of_a_secret(tmp_path: Path, path: str) -> None:
    """Each is one problem with place and remedy, in bounded time and memory."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    (problem,) = problems_of(write(tmp_path, f'redis: "redis://bus", password_file: {path}'))
    assert "sentinel.yaml:5: resources.bus.password_file: the secret file " in problem
    assert len(problem) < 600


def test_the_links_of_kubernetes(tmp_path: Path) -> None:
    """The mode of the file counts, not that of the links (0777)."""
    write(tmp_path, FILE)
    (tmp_path / "..2031").mkdir()
    (tmp_path / "..2031" / "secret").write_text("pw\n")
    (tmp_path / "..2031" / "secret").chmod(0o440)
    (tmp_path / "..data").symlink_to("..2031")
    (tmp_path / "secret").symlink_to("..data/secret")
    assert password_of(tmp_path) == "pw"


def seen(mode: int, path: str = "/etc/pw", uid: int = 0, *, is_apart: bool = False) -> FileContent:
    """A secret file with these rights at this place."""
    status = os.stat_result((stat.S_IFREG | mode, 1, 1, 1, uid, 0, 2, 0, 0, 0))
    return FileContent(b"pw", status, Path(path), is_apart)


@pytest.mark.parametrize(
    ("file", "fault"),
    [
        (seen(0o400), ""),
        (seen(0o640), ""),
        (seen(0o444), "is readable by everyone"),
        (seen(0o444, is_apart=True), ""),
        (seen(0o444, "/run/secrets/bus"), ""),
        (seen(0o444, "/run/secrets/..2031/bus"), ""),
        (seen(0o444, "/run/secrets/bus", uid=1000), "is readable by everyone"),
        (seen(0o444, "/run/secrets-of-all/bus"), "is readable by everyone"),
        (seen(0o660), "can be changed by others"),
        (seen(0o602), "can be changed by others"),
        (seen(0o666, "/run/secrets/bus"), "can be changed by others"),
        (seen(0o666, is_apart=True), "can be changed by others"),
    ],
)
def test_who_may_read_and_change_it(file: FileContent, fault: str) -> None:
    """Mode 0444 is right where only one container sees it; writable by others it never is."""
    assert find_open_fault(file) == fault


_MOUNTED = """
set -e
mount -t tmpfs none "$1"
printf 'pw-of-a-pod\\n' > "$1/secret"
chmod 0444 "$1/secret"
[ "$2" = rw ] || mount -o remount,ro "$1"
shift 2
exec "$@"
"""


@pytest.mark.parametrize(("way", "code"), [("ro", 0), ("rw", 78)])
def test_a_real_mount(tmp_path: Path, way: str, code: int) -> None:
    """0444 on a tmpfs of its own: accepted while it is mounted read-only, and only then."""
    unshare = shutil.which("unshare")
    if not unshare or subprocess.run([unshare, "-rm", "true"], check=False).returncode:
        pytest.skip("no mount namespaces here")
    (tmp_path / "mount").mkdir()
    write(tmp_path, 'redis: "redis://bus", password_file: mount/secret')
    command = [sys.executable, "-m", "sentinel", "--config", str(tmp_path), "validate"]
    done = subprocess.run(
        [unshare, "-rm", "sh", "-c", _MOUNTED, "sh", str(tmp_path / "mount"), way, *command],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
        cwd=Path(__file__).parents[3],
    )
    assert done.returncode == code, done.stderr
    assert ("is readable by everyone" in done.stderr) == bool(code)
    assert "pw-of-a-pod" not in done.stdout + done.stderr


# -- one place ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resource", "key"),
    [
        ('redis: "redis://a:pw@bus", password_file: secret', "password_file"),
        ('redis: "redis://a:pw@bus", password: another', "password"),
        ('redis: "redis://bus?password=pw", password_file: secret', "password_file"),
        ('postgres: "postgresql://a:pw@db/x", password_file: secret', "password_file"),
        ('postgres: "host=db password=pw", password: another', "password"),
        ('redis: "redis://bus", password: another, password_file: secret', "password_file"),
        ('redis: "redis://bus", password: ""', "password"),
    ],
)
def test_two_places_are_one_too_many(tmp_path: Path, resource: str, key: str) -> None:
    """Clients differ in which one wins: so there is only one."""
    (problem,) = problems_of(write(tmp_path, resource, b"of-the-file\n"))
    assert f"sentinel.yaml:5: resources.bus.{key}: " in problem
    assert not any(word in problem for word in ("pw", "another", "of-the-file"))


@pytest.mark.parametrize(
    ("resource", "source"),
    [
        (FILE, "password_file secret"),
        ('redis: "redis://bus", password: pw', "password"),
        ('redis: "redis://a:pw@bus"', "its address"),
        ('postgres: "postgresql://a:pw@db/x"', "its address"),
        ('postgres: "postgresql://a@db/x"', "PGPASSWORD"),
        ('redis: "redis://bus"', ""),
    ],
)
def test_validate_says_where_it_comes_from(
    tmp_path: Path,
    resource: str,
    source: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The variable of libpq counts only when nothing here gives one."""
    monkeypatch.setenv("PGPASSWORD", "pw")
    write(tmp_path, resource, b"pw\n")
    assert main(["--config", str(tmp_path), "validate"]) == 0
    said = capsys.readouterr().out.splitlines()[1:]
    assert said == ([f"  password of bus: from {source}"] if source else [])


# -- signs that cut an address --------------------------------------------------------------------

ADDRESSES = [
    "redis://agent:7?kT9-hidden@bus/0",
    "redis://agent:7#kT9-hidden@bus/0",
    "redis://agent:7/kT9-hidden@bus/0",
    "redis://agent:7@kT9-hidden@bus/0",
    "redis://agent:7?kT9-hidden%40bus/0",
    "redis://bus/0#kT9-hidden",
    "postgresql://agent:7?kT9-hidden@db/x",
    "postgresql://agent:7#kT9-hidden@db/x",
    "postgresql://agent:7/kT9-hidden@db/x",
    "postgresql://agent:7@kT9-hidden@db/x",
    "http://agent:7?kT9-hidden@api/",
    "http://agent:7#kT9-hidden@api/",
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_sign_that_cuts_the_address(
    tmp_path: Path, address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Refused with the way out, and no part of the password is repeated."""
    kind = address.partition(":")[0].replace("postgresql", "postgres")
    write(tmp_path, f'{kind}: "{address}"')
    for more in ([], ["--json"]):
        assert main(["--config", str(tmp_path), "validate", *more]) == 78
        said = "".join(capsys.readouterr())
        assert f"resources.bus.{kind}" in said or '"resources.bus' in said
        assert not any(part in said for part in ("kT9", "hidden", "agent"))
    if "%40" not in address:
        assert "%23" in said


@pytest.mark.parametrize(
    "address",
    [
        "redis://agent:7%3FkT9%23%2F%40@bus/0",
        "redis://:p%25@bus/0",
        "unix:///run/a@b.sock",
        "http://api/@user",
        "postgresql://agent:7%3F@db/x?sslmode=require",
    ],
)
def test_what_is_encoded_is_right(tmp_path: Path, address: str) -> None:
    """And an @ in the path of a page or of a socket is no sign of a password."""
    kind = {"r": "redis", "u": "redis", "p": "postgres", "h": "http"}[address[0]]
    load(write(tmp_path, f'{kind}: "{address}"'), {})


def test_no_password_is_ever_repeated(tmp_path: Path) -> None:
    """200 passwords of random signs in addresses: valid as they are, or refused without a part of
    them. The seed is printed.
    """
    seed = random.randrange(1 << 32)
    sys.stdout.write(f"seed {seed}\n")
    draw = random.Random(seed)
    for _ in range(200):
        middle = "".join(draw.choices("#?/@:%&=[]+ ;,", k=draw.randint(1, 4)))
        password = f"{draw.choice(['7', 'qX'])}{middle}kT9hidden"
        kind, scheme = draw.choice(
            [("redis", "redis"), ("postgres", "postgresql"), ("http", "http")]
        )
        write(tmp_path, f"{kind}: '{scheme}://agent:{password}@host:70/0'")
        assert "kT9hidden" not in said_of(tmp_path), password
