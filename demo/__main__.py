"""What does `make demo` do? It sets the stage, plays the journeys and tells how they went."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import TypeVar

from rich.console import Console
from rich.markup import escape

from demo import people
from demo.child import StartFailed
from demo.journeys import browser, crowd, gateway, suite, tasks, worker
from demo.ports import NoFreePort
from demo.screen import Screen, console
from demo.stage import Stage

T = TypeVar("T")


def main() -> int:
    """Run the demo: 0 if every check holds, 1 if one does not, 2 if the stage does not stand."""
    parser = argparse.ArgumentParser(prog="attache demo", description="Watch tokens travel.")
    parser.add_argument(
        "--keep",
        action="store_true",
        default=os.environ.get("KEEP", "") not in ("", "0"),
        help="stay up afterwards and print what to try (also KEEP=1)",
    )
    parser.add_argument("--log-level", default="info", help="of the agents")
    given = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):  # SIGINT too: a shell's `&` has it ignored
        signal.signal(number, _as_interrupt)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without ✓ still gets the text
    out, began = console(), time.monotonic()
    try:
        stage = Stage(log_level=given.log_level)
        out.print(
            f"[bold]Attaché[/] · an identity provider and {len(stage.pods)} pods: a program "
            "without auth code, its agent and Envoy (⛨)"
        )
        with out.status("the stage is being set …"):
            stage.start()
        try:
            passed = play(stage, out, began)
            if not passed:
                stage.keep = True
                out.print(f"configurations, logs and audit records are kept in {stage.folder}")
            if given.keep:
                _stay(stage, out)
        finally:
            stage.stop()
    except (StartFailed, NoFreePort) as reason:
        out.print(f"[bold red]The stage does not stand:[/] {escape(str(reason))}")
        return 2
    except KeyboardInterrupt:
        out.print("stopped")
        return 130
    return 0 if passed else 1


def play(stage: Stage, out: Console, began: float) -> bool:
    """Play all journeys; tell whether every check holds."""
    screen = Screen(out)
    _play(screen, "Tasks", lambda: tasks.run(stage), screen.tasks)
    _play(screen, "Gateway", lambda: gateway.run(stage), screen.gateway)
    _play(screen, "Worker", lambda: worker.run(stage), screen.worker)
    _play(screen, "Suite", lambda: suite.run(stage), screen.suite)
    _play(screen, "Crowd", lambda: crowd.run(stage), screen.crowd)
    _play(screen, "Browser", lambda: browser.run(stage), screen.browser)
    screen.summary(stage.seconds_to_start, time.monotonic() - began)
    return screen.passed


def _play(screen: Screen, name: str, run: Callable[[], T], show: Callable[[T], None]) -> None:
    try:
        with screen.waiting(name):
            found = run()
    except Exception as error:  # noqa: BLE001 - one journey's end must not hide the others
        screen.broken(name, error)
    else:
        show(found)


def _stay(stage: Stage, out: Console) -> None:
    ada, idp = stage.people["ada"], stage.idp
    url = {name: stage.pods[name].url for name in ("tasks", "gateway", "portal")}
    out.print()
    out.rule("[bold]Try it[/]", align="left", style="dim")
    out.print(f"[bold]In a browser:[/] {stage.pods['tasks'].page}/", soft_wrap=True)
    out.print(
        f"  sign in as {ada.username} with {ada.password}; the local provider's certificate is\n"
        f"  made for this run: accept it, or let the browser trust {stage.ca_file}",
        markup=False, soft_wrap=True,
    )  # fmt: skip
    lines = (
        "# a token for Ada; Ed, Rita, Zoë and Nick are in demo/directory.yaml",
        f"token() {{ curl -s --cacert {stage.folder}/idp/ca.pem \\",
        f"  {idp.base_url}/{ada.tenant}/oauth2/v2.0/token \\",
        f"  -d grant_type=password -d client_id={people.SIGN_IN} -d scope=$1 \\",
        f"  -d username={ada.username} -d password={ada.password} \\",
        "  | python3 -c 'import json, sys; print(json.load(sys.stdin)[\"access_token\"])'; }",
        f'curl -i {url["tasks"]}/api/tasks -d \'{{"title": "tea"}}\' \\',
        "  -H 'Content-Type: application/json' \\",
        f'  -H "Authorization: Bearer $(token {people.TASKS_SCOPE})"',
        f"curl -i {url['tasks']}/api/tasks      # nobody: 401, problem+json",
        f"curl -i {url['gateway']}/orders/1 \\",
        f'  -H "Authorization: Bearer $(token {people.GATEWAY_SCOPE})"',
        f"curl -i {url['portal']}/pages/home \\",
        f'  -H "Authorization: Bearer $(token {people.SUITE_SCOPE})"',
        f"curl -s http://127.0.0.1:{stage.pods['tasks'].at.admin}/status  # /readyz /metrics",
        f"tail -f {stage.folder}/*/decisions.jsonl  # every decision, as it is made",
        f"ls {stage.folder}/tasks  # attache.yaml (change it: it is read again), logs",
    )
    for line in lines:
        # soft_wrap: what is copied must not be broken
        out.print(line, markup=False, soft_wrap=True)
    out.print("[bold]Ctrl-C ends it all.[/]")
    with contextlib.suppress(KeyboardInterrupt):
        threading.Event().wait()


def _as_interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
