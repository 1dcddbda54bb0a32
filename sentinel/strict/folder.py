"""Which files a configuration is, and whether they are the same as before."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

SUFFIXES = {".yaml", ".yml"}


def list_files(path: Path) -> list[Path]:
    """The *.yaml of a folder, or the one file, without hidden ones: an editor's lock or backup is
    no configuration. Raises OSError.
    """
    if path.is_file():
        return [path]
    names = sorted(each for each in path.iterdir() if not each.name.startswith("."))
    return [each for each in names if each.suffix in SUFFIXES]


def digest_file(data: bytes) -> str:
    """One word for the content of a file."""
    return hashlib.sha256(data).hexdigest()


def digest_folder(digests: Mapping[str, str]) -> str:
    """One word for all files together, from that of each by its name."""
    lines = "".join(f"{name}\0{digest}\n" for name, digest in sorted(digests.items()))
    return digest_file(lines.encode("utf-8", "surrogateescape"))[:16]
