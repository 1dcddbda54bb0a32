"""Kills a housekeeper at random moments: `python cleaning_victim.py PORT FOLDER ROUNDS`; prints
what came of it.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import redis
import structlog

from tests.integration.cleaning_bench import DLQ, KINDS, Bench, make_chore

ENTRIES, PORTION, CAP = 2000, 5, 1500


async def clean(port: int, folder: Path) -> None:
    """Moves poison in small portions until nothing is left."""
    bench = Bench(port, folder)
    bench.keeper.kinds = {**KINDS, "poison": replace(KINDS["poison"], portion=PORTION)}
    await bench.use(make_chore("poison", max_per_hour=CAP)).run("poison")


def count(port: int) -> int:
    """How many were moved so far; patience grows on a machine that is too busy to move any."""
    with redis.Redis(port=port) as client:
        return client.xlen(DLQ)


def main(port: int, folder: Path, rounds: int) -> None:
    """Forks one housekeeper a round, kills it after a few milliseconds, and counts in the end."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    folder.mkdir()
    setup = Bench(port, folder)
    setup.group()
    setup.publish(ENTRIES)
    ids = setup.read(ENTRIES)
    setup.age(ids, deliveries=9)
    setup.store.close()
    setup.redis.close()
    killed, patience = 0, 0.08
    for _ in range(rounds):
        child = os.fork()
        if child == 0:
            asyncio.run(clean(port, folder))
            os._exit(0)
        time.sleep(random.uniform(0.005, patience))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        killed += os.WIFSIGNALED(status)
        if not count(port):
            patience = min(patience * 2, 2.0)
    bench = Bench(port, folder)
    moved, pending = bench.dead_letters(), set(bench.pending())
    announced = " ".join(detail for _, action, detail in bench.audit() if action == "clean")
    facts = {
        "killed": killed,
        "moved": len(moved),
        "cap": CAP,
        "lost": len(set(ids) - set(moved) - pending),
        "doubled": len(moved) - len(set(moved) - pending),
        "audit_whole": bench.store.verify_audit().whole,
        "unannounced": sum(1 for entry in moved if entry not in announced),
    }
    sys.stdout.write(json.dumps(facts))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
