"""What a new configuration changes: by value, and never by its place in a file."""

from __future__ import annotations

from sentinel.app.reloading import compare, keep_known
from sentinel.config import load


def test_what_only_moved_in_its_file_is_the_same(tmp_path):
    """A line above it changes no check: none is stopped, and what is the same is held once."""
    text = "components:\n  api: {}\nchecks:\n"
    text += "".join(
        f"  - {{name: c{n}, kind: tcp, component: api, address: '127.0.0.1:{n + 1}'}}\n"
        for n in range(3)
    )
    file = tmp_path / "x.yaml"
    file.write_text(text)
    old = load(tmp_path, {})
    file.write_text(f"{text}  - {{name: c9, kind: tcp, component: api, address: '127.0.0.1:99'}}\n")
    grown = load(tmp_path, {})
    kept = keep_known(old, grown)
    assert [check.name for check in compare(old, grown).changed] == ["c9"]
    assert all(kept.checks[n] is old.checks[n] for n in range(3))
    file.write_text(f"# moved\n{text}")
    moved = load(tmp_path, {})
    assert compare(old, moved).changed == ()
    assert keep_known(old, moved).checks[0].source.endswith("x.yaml:5")
