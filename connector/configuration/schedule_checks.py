"""Checking the report schedules of one connection."""

from __future__ import annotations

from connector.configuration.plan import WantedSchedule
from connector.configuration.reader import Section, nearest
from connector.kernel.contracts import System
from connector.pipeline import reports, schedules


def read(connection: Section, system: System) -> tuple[WantedSchedule, ...] | None:
    """The schedules as the file wants them; None when it says nothing of them."""
    if not connection.has("schedules"):
        return None
    known = reports.reports_of(system.name)
    if not known:
        connection.wrong("schedules", f"{system.label} has no reports to schedule: leave schedules out")
        return None
    found: dict[WantedSchedule, int] = {}
    for section in connection.sections("schedules") or []:
        schedule = _schedule(section, known)
        if schedule in found:
            section.wrong("report", f"the same schedule stands on line {found[schedule]} already")
        found.setdefault(schedule, section.line)
    return tuple(found)


def _schedule(section: Section, known: tuple[str, ...]) -> WantedSchedule:
    section.expect(("report", "cron", "window"))
    section.require("report", "cron")
    report, cron = section.text("report"), section.text("cron", limit=100)
    if report and report not in known:
        section.wrong("report", f"there is no report {report!r}{nearest(report, known)}")
    if cron and (problem := schedules.problem(cron)):
        section.wrong("cron", problem)
    last = first = 0
    if window := section.section("window"):
        window.expect(("last", "first"))
        last, first = _days(window, "last"), _days(window, "first")
        if not (last or first):
            section.wrong("window", "a window names the last or first business days of a month: {last: 2, first: 5}")
    return WantedSchedule(report, " ".join(cron.split()), last, first)


def _days(window: Section, key: str) -> int:
    days = window.integer(key)
    if days > schedules.MOST_DAYS:
        window.wrong(key, f"{key} can be {schedules.MOST_DAYS} business days at most")
    return days
