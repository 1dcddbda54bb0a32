"""Components and sentinel itself: each alert fires on what it is for, and is silent on health."""

from __future__ import annotations

from pathlib import Path

from sentinel.app.ruling import group_rules
from tests.promtool import Bench, Scene, find_unmissed
from tools.rules import load_demo

RULES = group_rules(load_demo())
LOOP = "sentinel_event_loop_lag_seconds"
STATUS = "sentinel_component_status"
TOLD = "sentinel_notifications_total"
BEGAN = "sentinel_fault_last_begun_timestamp_seconds"


def component(name: str, series: str, **more: str) -> Scene:
    """A component of its own for each alert."""
    labels = {"component": name, **more}
    inner = ",".join(f'{key}="{value}"' for key, value in labels.items())
    return Scene({f"{series}{{{inner}}}": "1x70"}, labels)


COMPONENTS = Bench(
    RULES["components"],
    {
        "SentinelComponentDown": component("a", STATUS, status="down"),
        "SentinelComponentDegraded": component("b", STATUS, status="degraded"),
        "SentinelComponentUnknown": component("c", STATUS, status="unknown"),
        "SentinelComponentExhausted": component("d", "sentinel_component_exhausted"),
        "SentinelComponentFlapping": component("e", "sentinel_component_flapping"),
        "SentinelComponentBlocked": component("f", "sentinel_component_blocked", by="g"),
        "SentinelFaultPassed": component("h", BEGAN, check="c", fault="lost"),
    },
    {
        f'{STATUS}{{component="a",status="up"}}': "1x70",
        f'{STATUS}{{component="b",status="down"}}': "1 stale",
        f'{STATUS}{{component="c",status="degraded"}}': "1x40 stale",
        'sentinel_component_exhausted{component="d"}': "0x70",
        'sentinel_component_flapping{component="e"}': "0x70",
        # One that stands, one that an alert of its own told of before it ended, one of long ago.
        f'{BEGAN}{{check="c",component="h",fault="stands"}}': "1x70",
        'sentinel_faults{check="c",component="h",fault="stands"}': "1x70",
        f'{BEGAN}{{check="c",component="h",fault="told"}}': "1x70",
        'ALERTS{alertname="SentinelTold",alertstate="firing",check="c",fault="told"}': "1 stale",
        f'{BEGAN}{{check="c",component="h",fault="old"}}': "-1000x70",
    },
)

OURSELVES = Bench(
    RULES["sentinel"],
    {
        "SentinelDown": Scene({}),
        "SentinelWatchdog": Scene({}),
        "SentinelCheckBlind": Scene(
            {'sentinel_check_stale_seconds{check="c",component="x"}': "90x20"},
            {"check": "c", "component": "x"},
            "1m 30s",
        ),
        "SentinelCoverageLow": Scene({"sentinel_coverage_ratio": "0.5x20"}, shown="50%"),
        "SentinelChecksOverdue": Scene({"sentinel_checks_overdue": "2x20"}, shown="2"),
        "SentinelCanariesSilent": Scene(
            {
                'sentinel_canary_results_total{check="c",path="p",result="ok"}': "5x20",
                'sentinel_canary_sent_total{check="c",path="p"}': "0+60x20",
            },
            {"check": "c", "path": "p"},
            "0",
            at=720.0,
        ),
        "SentinelStateNotWritable": Scene({"sentinel_state_writable": "0x20"}),
        "SentinelStateOld": Scene(
            {"sentinel_state_persisted_timestamp_seconds": "0x20"}, shown="3m 0s", at=180.0
        ),
        "SentinelReloadFailed": Scene({"sentinel_config_last_reload_successful": "0x20"}),
        "SentinelHalted": Scene({"sentinel_actions_halted": "1x20"}),
        "SentinelBreakerOpen": Scene({"sentinel_automation_breaker_open": "1x20"}),
        "SentinelFenced": Scene({"sentinel_fenced": "1x20"}),
        "SentinelMassFailure": Scene({"sentinel_mass_failure_brakes": "2x20"}, shown="2"),
        "SentinelLoopLate": Scene(
            {f'{LOOP}_bucket{{le="0.1"}}': "0+500x20", f"{LOOP}_count": "0+1000x20"}, shown="50%"
        ),
        "SentinelUnobserved": Scene(
            {"sentinel_unobserved_seconds_total": "0+120x20"}, shown="4m 0s"
        ),
        "SentinelStandstill": Scene({"sentinel_standstills_total": "0+1x20"}),
        "SentinelErrors": Scene(
            {'sentinel_unclassified_errors_total{place="page"}': "0+1x20"}, {"place": "page"}, "2"
        ),
        "SentinelSeriesLeftOut": Scene(
            {'sentinel_series_left_out{family="f"}': "9x20"}, {"family": "f"}, "9"
        ),
        "SentinelLogDropped": Scene({"sentinel_log_lines_dropped_total": "0+1x20"}, shown="2"),
        "SentinelChannelFails": Scene(
            {f'{TOLD}{{channel="dead",outcome="again"}}': "0+1x20"}, {"channel": "dead"}, "7"
        ),
        "SentinelNoticesLost": Scene(
            {f'{TOLD}{{channel="odd",outcome="refused"}}': "0 0 3x18"}, {"channel": "odd"}, "3"
        ),
    },
    {
        'sentinel_build_info{version="1"}': "1x20",
        'sentinel_canary_results_total{check="c",path="p",result="ok"}': "0+60x20",
        'sentinel_canary_sent_total{check="c",path="p"}': "0+60x20",
        'sentinel_canary_results_total{check="c",path="held",result="ok"}': "5x20",
        'sentinel_canary_sent_total{check="c",path="held"}': "5x20",
        "sentinel_coverage_ratio": "0.95x20",
        "sentinel_checks_overdue": "0x20",
        "sentinel_state_writable": "1x20",
        "sentinel_state_persisted_timestamp_seconds": "0+60x20",
        "sentinel_config_last_reload_successful": "1x20",
        "sentinel_actions_halted": "0x20",
        "sentinel_automation_breaker_open": "0x20",
        "sentinel_fenced": "0x20",
        "sentinel_mass_failure_brakes": "0x20",
        f'{LOOP}_bucket{{le="0.1"}}': "0+990x20",
        f"{LOOP}_count": "0+1000x20",
        "sentinel_unobserved_seconds_total": "0+1x20",
        "sentinel_standstills_total": "1x20",
        'sentinel_unclassified_errors_total{place="page"}': "3x20",
        "sentinel_log_lines_dropped_total": "4x20",
        # A channel that stumbles and delivers, one that has nothing to do, one that was mended.
        f'{TOLD}{{channel="rough",outcome="again"}}': "0+1x20",
        f'{TOLD}{{channel="rough",outcome="delivered"}}': "0+1x20",
        f'{TOLD}{{channel="kept",outcome="again"}}': "0+1x20",
        f'{TOLD}{{channel="kept",outcome="renewed"}}': "0+1x20",
        f'{TOLD}{{channel="idle",outcome="again"}}': "0x20",
        f'{TOLD}{{channel="idle",outcome="refused"}}': "7x20",
    },
    always=frozenset({"SentinelWatchdog"}),
)


def test_each_alert_fires_and_none_can_be_missing(tmp_path: Path) -> None:
    """With all rules promtool is content; without them it misses each."""
    benches = {"components": COMPONENTS, "ourselves": OURSELVES}
    assert find_unmissed(benches, tmp_path) == {}
