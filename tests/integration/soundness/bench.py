"""A server of one family that a world may kill, and start again from what is on its disk."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sentinel.demo.servers import ValkeyServer
from tests.integration.soundness.wire import Wire

ON_AOF = ("--appendonly", "yes", "--appendfsync", "no", "--auto-aof-rewrite-percentage", "0")
MAX_LOG = 4_000_000


class Bench:
    """A server with a folder of its own. `durable`: it keeps an AOF, else only what SAVE wrote."""

    def __init__(self, family: str, folder: Path, binary: str | Path | None) -> None:
        self.family, self.folder = family, folder
        self._binary, self._port = binary, None
        self.server = self._make(())
        self.server.start()
        self.wire, self.line = Wire(self.server.port), Wire(self.server.port)
        """For what happens, and for looks."""
        self.durable = False

    @property
    def legacy(self) -> bool:
        """Whether it tells no ranks."""
        return self.family == "redis62"

    def _make(self, arguments: tuple[str, ...]) -> ValkeyServer:
        server = ValkeyServer(self.folder, *arguments, port=self._port, binary=self._binary)
        self._port = server.port
        return server

    def begin(self, *, durable: bool) -> None:
        """An empty server that keeps its data like this."""
        if durable != self.durable or (durable and self._written() > MAX_LOG):
            self.kill()
            shutil.rmtree(self.folder, ignore_errors=True)
            self.durable = durable
            self.server = self._make(ON_AOF if durable else ())
            self.server.start()
            return
        self.wire.call("CONFIG", "SET", "maxmemory", 0)
        self.wire.call("FLUSHALL")
        (self.folder / "dump.rdb").unlink(missing_ok=True)

    def _written(self) -> int:
        return sum(path.stat().st_size for path in self.folder.rglob("*.aof*") if path.is_file())

    def kill(self) -> None:
        """SIGKILL: what is not on the disk is gone."""
        self.wire.drop()
        self.line.drop()
        self.server.stop(signal.SIGKILL)

    def restart(self) -> None:
        """Kill, and start from the disk."""
        self.kill()
        self.server.start()

    def close(self) -> None:
        """End it."""
        self.kill()


@contextmanager
def open_bench(family: str, folder: Path, binary: str | Path | None = None) -> Iterator[Bench]:
    """A server for as long as the block runs."""
    own = Path(tempfile.mkdtemp(dir=folder, prefix=f"soundness-{family}-"))
    bench = Bench(family, own, binary)
    try:
        yield bench
    finally:
        bench.close()
