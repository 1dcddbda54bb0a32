"""Every page of a demo that was under chaos, from the state that it left."""

from __future__ import annotations

from sentinel.app.runbooks.bookcase import Bookcase
from sentinel.app.runbooks.shown import make_known
from sentinel.clock import utcnow
from sentinel.config import load
from sentinel.store.sqlite import SqliteStore
from tests.acceptance.conftest import DemoRun
from tests.site_rig import serve
from tests.site_walk import Walk, list_paths


async def test_every_page_of_a_demo_under_chaos(demo_runs: dict[str, DemoRun]) -> None:
    """200, title, language, one heading, nothing inline, each link leads somewhere."""
    state = demo_runs["faults"].state.resolve()
    configuration, store = load(state.parent / "config", {}), SqliteStore(state, writable=False)
    bookcase = Bookcase(lambda: configuration)
    known = make_known(lambda: configuration, bookcase, store)
    names = {
        "/check/{name}": [each.name for each in store.checks()][::6],
        "/component/{name}": [each.name for each in store.components()][::6],
        "/incident/{id}": [each.id for each in store.incidents(limit=5)],
        "/runbooks/{name}": list(known.runbooks())[::8],
    }
    async with serve(store, known, utcnow, bookcase.text_of) as site:
        walk = Walk(site.session, site.base)
        for path in list_paths(names):
            await walk.visit(path)
    store.close()
    assert "\n".join(walk.problems) == ""
