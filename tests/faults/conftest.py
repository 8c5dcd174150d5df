"""Print the figures that fault tests measured, beside what was promised."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

# What a test records under a name that begins with one of these is printed at the end.
TARGETS = {
    "P1": "0 runs lost or stuck, all ended 60 s after the last restart",
    "P2": "0 finished stages run again",
    "P4": "one run for each key",
    "P5": "3 losses, neighbours 0",
    "P8": "0 double, 0 lost",
    "P10": "0 differences in 400 zones",
    "P14": "whole, 507, goes on 10 s after space is back",
    "P18": "0 lost, no daemon exit",
    "P19": "all stages end",
    "P20": "timeout + 6 s",
    "P21": "grace 5 s + 2 s",
    "P22": "drain timeout + 5 s",
    "P25": "RSS < 1 MiB/h, descriptors flat, log <= 64 MiB",
    "F29": "0 refusals for a lock, log <= 64 MiB",
    "F58": "p99 < 0.2 s",
    "F63": "peak <= 3 x mean, p99 < 0.5 s, growth < 64 MiB",
}
NAMED = re.compile(r"([PF]\d+) (.+)")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    rows = [
        (int(found[1][1:]), found[1], found[2], str(value))
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", "") == "call"
        for name, value in report.user_properties
        if (found := NAMED.fullmatch(name)) and found[1] in TARGETS
    ]
    if not rows:
        return
    terminalreporter.section("figures under faults")
    for _, figure, what, value in sorted(rows):
        terminalreporter.write_line(f"{figure:4} {what:56} {value:40} target: {TARGETS[figure]}")
