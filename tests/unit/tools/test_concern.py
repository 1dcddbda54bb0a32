"""Which tests concern a file, read from who imports whom."""

from __future__ import annotations

import pytest

from tools.concern import Imports, mirror

_HOUSE = {
    "sentinel/__init__.py": "",
    "sentinel/log.py": "",
    "sentinel/core/__init__.py": "",
    "sentinel/core/model.py": "",
    "sentinel/core/health.py": "from sentinel.core.model import Check",
    "sentinel/core/bus/__init__.py": "from sentinel.core.bus.account import Account",
    "sentinel/core/bus/account.py": "import sentinel.core.model",
    "sentinel/core/lonely.py": "",
    "tests/conftest.py": "from sentinel.log import configure",
    "tests/unit/house.py": "from sentinel.core import health",
    "tests/unit/core/test_health.py": "from sentinel.core.health import step",
    "tests/unit/core/bus/test_account.py": "from sentinel.core.bus import Account",
    "tests/unit/test_all.py": "def test():\n    from tests.unit.house import House",
    "tests/integration/test_model.py": "from sentinel.core.model import Check",
}


@pytest.mark.parametrize(
    ("path", "rings"),
    [
        # The mirrored test first, then the one that comes through a support file.
        ("sentinel/core/health.py", [["core/test_health.py", "test_all.py"]]),
        # Nobody imports it but modules: their tests are the nearest, and only those of units.
        (
            "sentinel/core/model.py",
            [["core/bus/test_account.py", "core/test_health.py", "test_all.py"]],
        ),
        # Through the package that hands it on.
        ("sentinel/core/bus/account.py", [["core/bus/test_account.py"]]),
        # Through conftest.py, which every test imports.
        (
            "sentinel/log.py",
            [["core/bus/test_account.py", "core/test_health.py", "test_all.py"]],
        ),
        ("sentinel/core/lonely.py", []),
    ],
)
def test_rings(path: str, rings: list[list[str]]) -> None:
    found = Imports(_HOUSE).rings(path)
    assert found == [[f"tests/unit/{test}" for test in ring] for ring in rings]


def test_the_next_ring_has_the_tests_of_importers_only_once() -> None:
    texts = _HOUSE | {"tests/unit/core/test_model.py": "from sentinel.core.model import Check"}
    nearest, further = Imports(texts).rings("sentinel/core/model.py")
    assert nearest == ["tests/unit/core/test_model.py"]
    assert set(further) == {
        "tests/unit/core/bus/test_account.py",
        "tests/unit/core/test_health.py",
        "tests/unit/test_all.py",
    }


def test_the_mirror_of_a_path() -> None:
    assert mirror("sentinel/core/bus/pending.py") == "tests/unit/core/bus/test_pending.py"
    assert mirror("sentinel/log.py") == "tests/unit/test_log.py"
