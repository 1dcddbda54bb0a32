"""Random faults on the real demo platform; afterwards sentinel's journal and the platform's ledgers
are compared.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from sentinel.demo.servers import free_port


def survive(folder, seconds: int, seed: int) -> dict:
    """One run; its document. Every promise was kept and the platform is healthy, or the exit code
    says no.
    """
    command = [
        sys.executable,
        "-m",
        "sentinel",
        "demo",
        "--for",
        f"{seconds}s",
        "--nemesis",
        str(seed),
        "--json",
    ]
    command += ["--folder", str(folder), "--listen", f"127.0.0.1:{free_port()}"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=seconds + 120, check=False
    )
    assert done.stdout, done.stderr[-3000:]
    document = json.loads(done.stdout)
    assert document["nemesis"]["violations"] == []
    assert done.returncode == 0, done.stderr[-3000:]
    return document


@pytest.mark.timeout(300)
def test_a_minute_of_random_faults(tmp_path):
    """No promise is broken, something was really broken and repaired, and everything is healthy at
    the end.
    """
    document = survive(tmp_path, 62, seed=1)
    assert len(document["nemesis"]["faults"]) >= 8
    assert len(document["restarts"]) >= 4


@pytest.mark.nightly
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", [2, 3])
def test_ten_minutes_of_random_faults(tmp_path, seed):
    """The same for longer, with a fault every 5 to 20 s."""
    document = survive(tmp_path, 600, seed)
    assert len(document["nemesis"]["faults"]) >= 30


@pytest.mark.nightly
@pytest.mark.timeout(1200)
def test_twelve_minutes_leave_memory_descriptors_and_tasks_as_they_were(tmp_path):
    """Behind the first quarter, in which windows fill, no figure rises by more than 5 % of itself;
    every sample is printed.
    """
    footprint = survive(tmp_path, 720, seed=4)["nemesis"]["footprint"]
    for each in footprint["samples"]:
        sys.stdout.write(f"{json.dumps(each)}\n")
    sys.stdout.write(f"rise over the judged time: {footprint['rise']}\n")
    assert len(footprint["samples"]) > 100
    assert all(rise is not None and rise <= 0.05 for rise in footprint["rise"].values())
