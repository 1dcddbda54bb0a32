"""What should be there now and is not: groups that vanished, required ones, the stream itself."""

from dataclasses import replace

from sentinel.core.bus.delivery import Deadlines, GroupView, StreamAccount, StreamView
from sentinel.core.bus.delivery.account import begin_account
from sentinel.core.bus.delivery.finding import FORGET_AFTER, DeliveryRules
from sentinel.core.bus.delivery.presence import find_group_faults

RULES = DeliveryRules(Deadlines(5.0, 10.0), down_below=0.5, min_events=20)


def account(*groups: str, now: float = 100.0, known: tuple[str, ...] = ()) -> StreamAccount:
    """A stream that has these groups, and had the known ones before."""
    made = begin_account(Deadlines(5.0, 10.0))
    for at, names in ((1.0, {*groups, *known}), (now, set(groups))):
        views = {name: GroupView(name, (7, 0), 0, 1) for name in names}
        made.feed(StreamView(now=at, added=7, length=7, last=(7, 0), first=(1, 0), groups=views))
    return made


def test_a_group_that_vanished_is_made_again_where_it_stood():
    """The position is in the command; after an hour it is history."""
    (fault,) = find_group_faults(RULES, "a b", account("h", known=("g",)))
    assert (fault.key, fault.subject) == ("group_lost", {"stream": "a b", "group": "g"})
    assert fault.cure == ('XGROUP CREATE "a b" g 7-0',)
    assert fault.text.endswith("is gone, last known position 7-0; told for 1 h")
    gone = account("h", known=("g",))
    ended = gone.groups["g"].ended
    gone.view = replace(gone.view, now=ended + FORGET_AFTER - 1)
    assert len(find_group_faults(RULES, "s", gone)) == 1
    gone.view = replace(gone.view, now=ended + FORGET_AFTER)
    assert find_group_faults(RULES, "s", gone) == []


def test_a_required_pattern_is_no_group_name():
    """Nobody can make a group of a pattern: words instead of a command, and no such parameter."""
    rules = replace(RULES, required=["group_*"])
    (fault,) = find_group_faults(rules, "s", account("h"))
    assert (fault.key, fault.subject) == ("group_missing", {"stream": "s", "pattern": "group_*"})
    assert not any("CREATE" in command for command in fault.cure)
    assert "it makes its group" in fault.guidance
    assert fault.parameters == {"stream": "s"}
    assert find_group_faults(rules, "s", account("group_1")) == []


def test_a_required_name_can_be_made():
    """A name without a wildcard is one."""
    (fault,) = find_group_faults(replace(RULES, required=["workers"]), "s", account("h"))
    assert fault.subject == {"stream": "s", "group": "workers"}
    assert fault.cure == ("XGROUP CREATE s workers 0",)


def test_a_lost_group_is_not_missing_as_well():
    """It is known, and told with its position."""
    rules = replace(RULES, required=["group_*"])
    faults = find_group_faults(rules, "s", account("h", known=("group_1",)))
    assert [fault.key for fault in faults] == ["group_lost"]


def test_a_stream_that_is_not_there_misses_no_group():
    """Its being gone is the news, as long as it is: no window ends it."""
    gone = account("h")
    gone.mark_gone()
    rules = replace(RULES, required=["group_*"])
    (fault,) = find_group_faults(rules, "s", gone)
    assert (fault.key, fault.subject) == ("stream_gone", {"stream": "s"})
    assert fault.text == "stream s is gone, last known id 7-0; told for 1 h"
    assert find_group_faults(rules, "s", begin_account(Deadlines(5.0, 10.0))) == []
