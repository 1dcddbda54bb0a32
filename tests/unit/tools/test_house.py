"""The figures of the house, on houses of a few lines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tools import house
from tools.house import Measure, Source

Captured = pytest.CaptureFixture[str]
_CORE = '''"""A docstring of the file,
on two lines."""

import sys  # a comment beside code

LIMIT = 3
"""A docstring of a name."""


class Look:
    """One."""

    def see(self, a: int) -> str:
        """Nothing to see."""
        # only a comment
        return f"{a!r} {sys.argv + ['x']}"
'''


def write_house(root: Path, files: dict[str, str]) -> Path:
    """A repository at `root` with these files, and what every house has."""
    needed = {"pyproject.toml": "", "sentinel/core/a.py": "", "sentinel/adapters/b.py": ""}
    for name, text in (needed | files).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def find(root: Path, what: str) -> Measure:
    """The figure of that name."""
    return next(m for m in house.measure_house(root) if m.what == what)


def test_tokens_leave_out_comments_docstrings_and_layout() -> None:
    source = Source("a.py", _CORE)
    # import sys | LIMIT = 3 | class Look : | def see ( self , a : int ) -> str : | return f"…"
    assert len(source.tokens) == 2 + 3 + 3 + 12 + 2
    assert source.code_lines == 5


def test_a_statement_over_many_lines_has_a_code_line_for_each_that_begins_a_token() -> None:
    source = Source("a.py", 'x = (\n    1,\n\n    # why\n    """a\n    b""",\n)\n')
    assert list(source.tokens) == [1, 1, 1, 2, 2, 5, 6, 7]
    assert source.code_lines == 5


def test_a_docstring_in_parts_is_one_and_a_string_that_is_used_is_code() -> None:
    assert Source("a.py", '("a"\n "b")\n').code_lines == 2, "brackets are no docstring"
    assert Source("a.py", '"a" "b"\n').code_lines == 0
    assert len(Source("a.py", 'f("a")\n').tokens) == 4


@pytest.mark.parametrize("text", ['f"{a}"\n', "f'{a:{b}} {c[\"d\"]}'\n", 'f"""{\n  a\n}"""\n'])
def test_an_fstring_is_one_token_on_every_python(text: str) -> None:
    assert len(Source("a.py", f"x = {text}").tokens) == 3


def test_lines_are_wide_above_a_hundred_columns(tmp_path: Path) -> None:
    text = "#" * 100 + "\n" + "#" * 101 + "\n" + "é" * 100 + " = 1\n" + "\n"
    assert Source("a.py", text).wide == (2, 3)
    write_house(tmp_path, {"sentinel/core/a.py": text})
    width = find(tmp_path, "lines over 100 columns")
    assert (width.value, width.met, width.detail) == (50.0, False, "2 of 4 lines")


def test_entries_are_what_ls_shows_without_caches(tmp_path: Path) -> None:
    core = "sentinel/core"
    files = {f"{core}/__pycache__/a.pyc": "", f"{core}/bus/x.py": "", f"{core}/.hidden": ""}
    write_house(tmp_path, files)
    assert find(tmp_path, "entries of sentinel/core").value == 2


def test_the_share_counts_definitions_and_inner_classes(tmp_path: Path) -> None:
    files = {
        "sentinel/core/a.py": "class Look:\n    class Once:\n        pass\n",
        "sentinel/adapters/b.py": "class Other:\n    class Look:\n        pass\n",
    }
    write_house(tmp_path, files)
    names = find(tmp_path, "classes that share a name")
    assert (names.value, names.met, names.detail) == (50.0, False, "2 of 4 classes, 1 names")
    assert house.find_shared(house.read_sources(tmp_path / "sentinel", tmp_path)) == {
        "Look": ["sentinel/adapters/b.py:2", "sentinel/core/a.py:1"]
    }


@pytest.mark.parametrize(("lines", "met"), [(8, False), (9, True), (10, True)])
def test_tests_per_line_of_core(tmp_path: Path, lines: int, met: bool) -> None:
    files = {
        "sentinel/core/a.py": "x = 1\n" * 6,
        "sentinel/core/bus/b.py": "x = 1\n" * 4,
        "tests/unit/core/bus/test_b.py": '"""Why."""\n' + "x = 1\n" * lines,
        "tests/unit/app/test_c.py": "x = 1\n" * 100,
    }
    write_house(tmp_path, files)
    measure = find(tmp_path, "test lines per line of core")
    assert (measure.value, measure.met) == (lines / 10, met)


def test_long_functions_files_and_contracts_only_inform(tmp_path: Path) -> None:
    body = "".join(f"    x = {n}\n" for n in range(40))
    files = {
        "pyproject.toml": "[[tool.importlinter.contracts]]\n[[tool.importlinter.contracts]]\n",
        "sentinel/core/a.py": f"def short():\n{body[10:]}async def long():\n{body}",
        "sentinel/adapters/b.py": "x = 1\n" * 501,
    }
    write_house(tmp_path, files)
    found = {m.what: m for m in house.measure_house(tmp_path)}
    assert found["functions over 40 lines"].value == 1
    assert found["files over 500 lines"].value == 1
    assert found["import contracts"].value == 2
    assert {found[what].met for what in list(found)[-3:]} == {None}


def test_the_exit_status_says_whether_a_goal_is_missed(tmp_path: Path, capsys: Captured) -> None:
    files = {"sentinel/core/a.py": "x = 1\n", "tests/unit/core/test_a.py": "x = 1\n"}
    root = str(write_house(tmp_path, files))
    assert house.main(["--root", root]) == 0
    assert "MISSED" not in capsys.readouterr().out
    (tmp_path / "tests/unit/core/test_a.py").unlink()
    assert house.main(["--root", root, "--json", "--worst"]) == 1
    document = json.loads(capsys.readouterr().out)
    missed = [figure["what"] for figure in document["figures"] if figure["met"] is False]
    assert missed == ["test lines per line of core"]
    assert document["worst"]["shared class names"] == []


def test_a_file_that_python_cannot_read_is_named(tmp_path: Path, capsys: Captured) -> None:
    root = str(write_house(tmp_path, {"sentinel/core/a.py": "def (:\n"}))
    assert house.main(["--root", root]) == 78
    assert "sentinel/core/a.py:1: " in capsys.readouterr().err


def test_a_folder_that_is_no_house_is_named(tmp_path: Path, capsys: Captured) -> None:
    assert house.main(["--root", str(tmp_path)]) == 78
    assert str(tmp_path) in capsys.readouterr().err
