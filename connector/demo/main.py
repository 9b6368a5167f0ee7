"""`manage.py demo` and `manage.py sandbox`: their arguments, and the way from the first line to the last."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import secrets
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from connector.demo import day, standins, verdict
from connector.demo.day import Scene, Stage
from connector.demo.freshbooks import FreshBooksScene
from connector.demo.quickbooks_desktop import DesktopScene
from connector.demo.quickbooks_online import QuickBooksScene
from connector.demo.sage_intacct import IntacctScene
from connector.demo.salesforce import SalesforceScene
from connector.demo.screen import Screen
from connector.demo.slack import SlackScene
from connector.demo.stack import HOST, ROOT, CannotStart, Connector, fresh_folder
from connector.demo.verdict import Verdict

USER = "demo"
#: How long the last messages may take, and how long nothing more must come after them (seconds).
LAST_SECONDS, QUIET_SECONDS = 60.0, 2.0
READY_SECONDS = 60.0


class Stopped(BaseException):
    """Somebody pressed Ctrl-C, or sent SIGTERM."""


def main(arguments: Sequence[str]) -> int:
    """The command named first, with its options; the exit code."""
    command, *options = arguments
    try:
        _stop_on_signals()
        return {"demo": demo, "sandbox": sandbox}[command](options)
    except Stopped:
        return 130
    except (CannotStart, standins.PortTaken) as error:
        sys.stderr.write(f"{error}\n")
        return 1


def _stop_on_signals() -> None:
    """From here on the first Ctrl-C or SIGTERM raises `Stopped`; later ones change nothing."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def stop(number: int, frame: FrameType | None) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        raise Stopped

    for number in numbers:
        if signal.getsignal(number) is not signal.SIG_IGN or number == signal.SIGTERM:  # nohup stays nohup
            signal.signal(number, stop)


def _scenes(stage: Stage) -> list[Scene]:
    """Every system's part of the day."""
    workspace = SlackScene(stage)
    stage.look = workspace.look
    return [
        workspace,
        QuickBooksScene(stage, workspace),
        DesktopScene(stage),
        FreshBooksScene(stage),
        IntacctScene(stage),
        SalesforceScene(stage),
    ]


# --- sandbox ---------------------------------------------------------------------------------------------------------


def sandbox(options: Sequence[str]) -> int:
    """The stand-ins alone, until they are stopped."""
    parser = argparse.ArgumentParser(prog="manage.py sandbox", description="Runs the vendors' stand-ins alone.")
    add_sandbox_arguments(parser)
    chosen = parser.parse_args(options)
    with standins.bound(chosen.host, chosen.port_base, may_move=False) as found:
        for standin in found.values():
            standin.start()
        environment = standins.environment(found) | standins.furnish(found)
        rows = [{"system": system, "url": standin.url} for system, standin in found.items()]
        document = {"standins": rows, "environment": environment}
        lines = [f"{row['system']:20} {row['url']}" for row in rows]
        lines += ["", *(f"{name}={value}" for name, value in environment.items())]
        print(json.dumps(document, indent=2) if chosen.as_json else "\n".join(lines), flush=True)  # noqa: T201
        with contextlib.suppress(Stopped):
            threading.Event().wait()
    return 0


def add_sandbox_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default=HOST, help="where the stand-ins listen (%(default)s)")
    parser.add_argument(
        "--port-base", type=int, default=standins.PORT_BASE, help="the first one's port, counted up (%(default)s)"
    )
    _add_json(parser)


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", dest="as_json", help="one JSON document on standard output")


# --- demo ------------------------------------------------------------------------------------------------------------


def demo(options: Sequence[str]) -> int:
    """The whole thing on this machine, and a day played through it."""
    parser = argparse.ArgumentParser(prog="manage.py demo", description="Shows the connector at work.")
    add_demo_arguments(parser)
    chosen = parser.parse_args(options)
    base = Path(os.environ.get("VAR_DIR") or ROOT / "var").resolve()
    os.umask(0o077)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(fresh_folder(base))
        found = stack.enter_context(standins.bound(HOST, standins.PORT_BASE, may_move=True))
        screen = Screen(sys.stderr if chosen.as_json else sys.stdout)
        connector = Connector(folder, standins.environment(found))
        stage = Stage(found, connector, screen)
        stage.scenes = _scenes(stage)
        stack.callback(connector.stop)
        password = _open(stage)
        for standin in found.values():
            standin.start()
        _await_ready(stage)
        judged = _day(stage)
        doors = {"slack": found["slack"].url, "admin": connector.url + "/admin/", "user": USER, "password": password}
        if chosen.as_json:
            print(json.dumps({**judged.as_json(), **doors}, indent=2), flush=True)  # noqa: T201
        if chosen.once:
            return 1 if judged.differences else 0
        screen.say(
            "",
            f"  Slack, as its people see it:  {doors['slack']}/",
            f"  The connector's admin:        {doors['admin']}",
            f"  Login:                        {USER} / {password}",
            "",
            "Ctrl-C stops everything.",
        )
        return _stay(stage)


def add_demo_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--once", action="store_true", help="end by itself: 0 when everything arrived exactly once")
    _add_json(parser)


def _open(stage: Stage) -> str:
    """Sets the connector up and starts it; the new password of its one user."""
    connector, screen = stage.connector, stage.screen
    screen.say(
        f"A working day at {day.ORGANIZATION['name']}, in about a minute. Everything is under {connector.folder}"
    )
    for system, standin in stage.standins.items():
        screen.say(f"  stand-in for {system}: {standin.url}")
    screen.say("  setting up the database, a login and the configuration ...")
    password = secrets.token_urlsafe(9)
    variables = standins.furnish(stage.standins)
    connector.manage("migrate", "--verbosity", "0")
    login = ("createsuperuser", "--noinput", "--username", USER, "--email", "demo@acme.example")
    connector.manage(*login, DJANGO_SUPERUSER_PASSWORD=password)
    connector.manage("config", "apply", str(stage.configure("connector.yaml")), **variables)
    screen.say(f"  starting web, workers, beat and Redis at {connector.url} ...")
    connector.start()
    return password


def _await_ready(stage: Stage) -> None:
    connector = stage.connector
    ends = stage.screen.seconds() + READY_SECONDS
    while not connector.is_ready():
        if not connector.is_running() or stage.screen.seconds() > ends:
            why = "ended" if not connector.is_running() else f"was not ready within {READY_SECONDS:.0f} s"
            raise CannotStart("\n".join([f"the connector {why}; the end of {connector.log}:", *connector.tail()]))
        _wait(0.25)


def _day(stage: Stage) -> Verdict:
    """Plays the day and shows its table."""
    screen = stage.screen
    for scene in stage.scenes:
        scene.start()
    screen.say("")
    screen.head()
    cuts = day.play(stage.scenes, stage.look, _wait)
    _let_arrive(stage)
    found = verdict.final(stage, stage.scenes, cuts)
    screen.say("")
    screen.table(verdict.HEADS, found.rows)
    screen.say("")
    if found.differences:
        screen.say("DIFFERENCES", *(f"  {difference}" for difference in found.differences))
        screen.say("", f"the end of {stage.connector.log}:", *(f"  {line}" for line in stage.connector.tail()))
    else:
        screen.say(
            f"All {len(stage.expected)} messages arrived exactly once, in order, in {screen.seconds():.0f} seconds."
            " The audit trail is proven, and nothing waits."
        )
    return found


def _let_arrive(stage: Stage) -> None:
    """Gives the last messages their time, and what should not come its chance."""
    ends = stage.screen.seconds() + LAST_SECONDS
    while not stage.has(*stage.expected) and stage.screen.seconds() < ends:
        stage.look()
        _wait(0.25)
    _wait(QUIET_SECONDS)
    stage.look()


def _stay(stage: Stage) -> int:
    with contextlib.suppress(Stopped):
        while stage.connector.is_running():
            stage.look()
            _wait(0.5)
        stage.screen.say("the connector ended:", *stage.connector.tail())
        return 1
    stage.screen.say("stopping ...")
    return 0


_clock = threading.Event()
_wait: Callable[[float], object] = _clock.wait
