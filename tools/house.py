"""`python -m tools.house`: is the house easy to read? Figures from the sources, each with its goal.

A **code line** is a line of a file on which a token begins that is neither comment nor docstring.
A **token** is what `tokenize` yields, without COMMENT, NL, NEWLINE, INDENT, DEDENT, ENCODING,
ENDMARKER and without docstrings: names, keywords, operators, brackets, commas, numbers, strings.
An f-string is one token, whatever stands in it: Python 3.11 sees it so, later versions take it
apart. A **docstring** is every logical line of strings only, so also that of a field.

Exit status: 0 all goals met, 1 a goal missed, 78 a file that Python cannot read.
"""

from __future__ import annotations

import argparse
import ast
import io
import json
import sys
import token
import tokenize
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WIDTH = 100
"""Columns of a line that need no turning of the head."""
FUNCTION_LINES = 40
FILE_LINES = 500
_OFFENDERS = 20
_LAYOUT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}
_FSTRING_START = getattr(token, "FSTRING_START", None)
_FSTRING_END = getattr(token, "FSTRING_END", None)


@dataclass(frozen=True)
class Source:
    """A file of Python: its path below the root, and its text."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """Parsed; a SyntaxError names file and line."""
        return ast.parse(self.text, self.path)

    @cached_property
    def tokens(self) -> tuple[int, ...]:
        """The line on which each token of code begins, in order."""
        assert self.tree, "its error names the file, that of the tokenizer does not"
        return tuple(read_tokens(self.text))

    @cached_property
    def code_lines(self) -> int:
        """Lines on which a token of code begins."""
        return len(set(self.tokens))

    @cached_property
    def lines(self) -> list[str]:
        """All lines, also blank ones, without their ends."""
        return self.text.removesuffix("\n").split("\n") if self.text else []

    @cached_property
    def wide(self) -> tuple[int, ...]:
        """Numbers of the lines over WIDTH columns."""
        return tuple(n for n, line in enumerate(self.lines, 1) if len(line) > WIDTH)


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure; `limit` is the most (or the least) that is good, None where it only informs."""

    what: str
    value: float
    unit: str = ""
    limit: float | None = None
    at_least: bool = False
    detail: str = ""

    @property
    def met(self) -> bool | None:
        """Compared unrounded; None where there is no goal."""
        if self.limit is None:
            return None
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    @property
    def goal(self) -> str:
        """As people write it."""
        if self.limit is None:
            return ""
        return f"{'≥' if self.at_least else '≤'} {self.limit:g}{self.unit}"

    @property
    def verdict(self) -> str:
        """One word."""
        return {True: "met", False: "MISSED", None: ""}[self.met]


def read_tokens(text: str) -> Iterator[int]:
    """Number of the line on which each token of code in `text` begins."""
    statement: list[tokenize.TokenInfo] = []
    for piece in _join_fstrings(tokenize.generate_tokens(io.StringIO(text).readline)):
        if piece.type not in _LAYOUT:
            statement.append(piece)
        elif piece.type == tokenize.NEWLINE:
            if any(part.type != tokenize.STRING for part in statement):
                yield from (part.start[0] for part in statement)
            statement.clear()


def _join_fstrings(pieces: Iterable[tokenize.TokenInfo]) -> Iterator[tokenize.TokenInfo]:
    """Of an f-string only its beginning."""
    depth = 0
    for piece in pieces:
        if piece.type == _FSTRING_END:
            depth -= 1
        elif depth == 0:
            yield piece
        if piece.type == _FSTRING_START:
            depth += 1


def read_sources(folder: Path, root: Path = ROOT) -> list[Source]:
    """Every file of Python below `folder`, by path; none where the folder does not exist."""
    paths = sorted(folder.rglob("*.py"))
    return [Source(str(p.relative_to(root)), p.read_text(encoding="utf-8")) for p in paths]


def count_entries(folder: Path) -> int:
    """What `ls` shows, without what Python leaves behind."""
    names = (entry.name for entry in folder.iterdir())
    return sum(1 for name in names if name != "__pycache__" and not name.startswith("."))


def find_classes(sources: Iterable[Source]) -> dict[str, list[str]]:
    """Places (`file:line`) of the definitions of each class name, also of inner classes."""
    found: dict[str, list[str]] = {}
    for source in sources:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, []).append(f"{source.path}:{node.lineno}")
    return found


def find_shared(sources: Iterable[Source]) -> dict[str, list[str]]:
    """Class names that are defined more than once, with their places; the most frequent first."""
    shared = {name: at for name, at in find_classes(sources).items() if len(at) > 1}
    return dict(sorted(shared.items(), key=lambda item: (-len(item[1]), item[0])))


def find_long_functions(sources: Iterable[Source]) -> list[tuple[int, str]]:
    """Lines and place of functions over FUNCTION_LINES, decorators left out; the longest first."""
    found = []
    for source in sources:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                found.append((length, f"{source.path}:{node.lineno} {node.name}"))
    return sorted((item for item in found if item[0] > FUNCTION_LINES), reverse=True)


def count_contracts(project: Path) -> int:
    """Import contracts in pyproject.toml; `make lint` says whether they hold."""
    with project.open("rb") as file:
        tool = tomllib.load(file).get("tool", {})
    return len(tool.get("importlinter", {}).get("contracts", []))


def measure_names(sources: Sequence[Source]) -> Measure:
    """Share of class definitions whose name another class has too."""
    total = sum(len(at) for at in find_classes(sources).values())
    shared = find_shared(sources)
    doubled = sum(len(at) for at in shared.values())
    detail = f"{doubled} of {total} classes, {len(shared)} names"
    return Measure("classes that share a name", _percent(doubled, total), " %", 5, detail=detail)


def measure_width(sources: Sequence[Source]) -> Measure:
    """Share of lines over WIDTH columns."""
    total, wide = sum(len(s.lines) for s in sources), sum(len(s.wide) for s in sources)
    detail = f"{wide} of {total} lines"
    return Measure(f"lines over {WIDTH} columns", _percent(wide, total), " %", 1, detail=detail)


def measure_density(sources: Sequence[Source]) -> Measure:
    """Tokens per code line, over all files together."""
    tokens, lines = sum(len(s.tokens) for s in sources), sum(s.code_lines for s in sources)
    detail = f"{tokens} tokens, {lines} code lines"
    return Measure("tokens per code line", tokens / lines if lines else 0, "", 9, detail=detail)


def measure_tests(tests: Sequence[Source], core: Sequence[Source]) -> Measure:
    """Code lines of unit tests of the core per code line of the core."""
    held, lines = sum(s.code_lines for s in tests), sum(s.code_lines for s in core)
    what, detail = "test lines per line of core", f"{held} for {lines} code lines"
    return Measure(what, held / lines if lines else 0, "", 0.9, at_least=True, detail=detail)


def measure_house(root: Path) -> list[Measure]:
    """All figures of the repository at `root`."""
    house, core = root / "sentinel", root / "sentinel" / "core"
    sources = read_sources(house, root)
    tests = read_sources(root / "tests" / "unit" / "core", root)
    large = sum(1 for source in sources if len(source.lines) > FILE_LINES)
    long = len(find_long_functions(sources))
    contracts = count_contracts(root / "pyproject.toml")
    return [
        Measure("entries of sentinel/core", count_entries(core), "", 18),
        Measure("entries of sentinel/adapters", count_entries(house / "adapters"), "", 22),
        measure_names(sources),
        measure_width(sources),
        measure_density(sources),
        measure_tests(tests, read_sources(core, root)),
        Measure(f"functions over {FUNCTION_LINES} lines", long),
        Measure(f"files over {FILE_LINES} lines", large),
        Measure("import contracts", contracts, detail="`make lint` checks them"),
    ]


def find_worst(sources: Sequence[Source]) -> dict[str, list[str]]:
    """Where to begin: by figure, the worst first; every shared name, the first others."""
    wide = sorted(sources, key=lambda s: (-len(s.wide), s.path))[:_OFFENDERS]
    dense = sorted(sources, key=_density, reverse=True)[:_OFFENDERS]
    large = [s for s in sources if len(s.lines) > FILE_LINES]
    shared = find_shared(sources).items()
    functions = find_long_functions(sources)[:_OFFENDERS]
    return {
        "shared class names": [f"{name} {len(at)}: {', '.join(at)}" for name, at in shared],
        f"lines over {WIDTH} columns": [f"{len(s.wide)} {s.path}" for s in wide if s.wide],
        "tokens per code line": [f"{_density(s):.1f} {s.path}" for s in dense],
        f"functions over {FUNCTION_LINES} lines": [f"{n} {place}" for n, place in functions],
        f"files over {FILE_LINES} lines": [f"{len(s.lines)} {s.path}" for s in large],
    }


def render(measures: Iterable[Measure]) -> str:
    """The table for people, one figure a line."""
    rows = [_row(measure).rstrip() for measure in measures]
    return "\n".join([f"{'figure':30} {'value':>9}  {'goal':9} {'':7} from", *rows])


def main(argv: Sequence[str] | None = None) -> int:
    """Print the figures; 1 when one misses its goal."""
    parser = argparse.ArgumentParser(prog="python -m tools.house", description="Measure the house.")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    parser.add_argument("--worst", action="store_true", help="list where the figures are worst")
    parser.add_argument("--root", type=Path, default=ROOT, help="the repository to measure")
    arguments = parser.parse_args(argv)
    root = arguments.root.resolve()
    try:
        measures = measure_house(root)
        worst = find_worst(read_sources(root / "sentinel", root)) if arguments.worst else {}
    except SyntaxError as error:
        print(f"house: {error.filename}:{error.lineno}: {error.msg}", file=sys.stderr)
        return 78
    except OSError as error:
        print(f"house: {error.filename}: {error.strerror}", file=sys.stderr)
        return 78
    print(_document(measures, worst) if arguments.json else _page(measures, worst))
    return int(any(measure.met is False for measure in measures))


def _document(measures: Sequence[Measure], worst: dict[str, list[str]]) -> str:
    figures = [{**asdict(m), "unit": m.unit.strip(), "met": m.met} for m in measures]
    return json.dumps({"figures": figures, "worst": worst}, ensure_ascii=False, indent=2)


def _page(measures: Sequence[Measure], worst: dict[str, list[str]]) -> str:
    parts = [render(measures)]
    for title, lines in worst.items():
        parts.append("\n  ".join([f"\n{title}:", *(lines or ["none"])]))
    return "\n".join(parts)


def _row(measure: Measure) -> str:
    whole = isinstance(measure.value, int)
    value = f"{measure.value}" if whole else f"{measure.value:.2f}{measure.unit}"
    return f"{measure.what:30} {value:>9}  {measure.goal:9} {measure.verdict:7} {measure.detail}"


def _density(source: Source) -> float:
    return len(source.tokens) / source.code_lines if source.code_lines else 0.0


def _percent(part: int, whole: int) -> float:
    return 100 * part / whole if whole else 0.0


if __name__ == "__main__":
    sys.exit(main())
