"""The committed rules: those of every kind, and of the demo's objectives. `python -m tools.rules`
writes `dashboards/rules` and `dashboards/alertmanager` anew.
"""

from __future__ import annotations

import re
from pathlib import Path

from sentinel.app.ruling import write_rules
from sentinel.config import Configuration, load

ROOT = Path(__file__).resolve().parents[1]
PACK = ROOT / "checks" / "packs" / "demo"
OUTPUT = ROOT / "dashboards"


def load_demo() -> Configuration:
    """The demo's configuration with addresses that nobody connects to."""
    text = "".join(file.read_text() for file in sorted(PACK.glob("*.yaml")))
    values = {name: f"{name}-12345678" for name in re.findall(r"\$\{([A-Z_]+)\}", text)}
    return load(
        PACK,
        {
            **values,
            "DEMO_LISTEN": "127.0.0.1:9130",
            "DEMO_REDIS_URL": "redis://h:1",
            "DEMO_REDIS_ADDRESS": "h:1",
            "DEMO_API_URL": "http://h:1",
            "DEMO_SENTINEL_DATABASE_URL": "postgresql://h/d",
        },
    )


def main() -> None:
    """Write every file."""
    for name, text in write_rules(load_demo()).items():
        path = OUTPUT / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    main()
