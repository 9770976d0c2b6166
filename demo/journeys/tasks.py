"""Does a person's request reach Notification on their behalf, and Audit as the app itself?"""

from __future__ import annotations

from dataclasses import dataclass

from demo import people
from demo.journeys.asking import ask
from demo.journeys.outcome import Answer, Check, Checks, Claims, Record
from demo.stage import Stage

PATH = "/api/tasks"


@dataclass(frozen=True, slots=True)
class Tasks:
    """What the journey found: tokens A, B and C, and the records of one correlation id."""

    checks: tuple[Check, ...]
    answer: Answer
    a: Claims
    b: Claims
    c: Claims
    records: tuple[Record, ...]
    notified: Claims
    wrote: Claims


def run(stage: Stage) -> Tasks:
    """Ada, Ed, Rita, Zoë and Nick use the Task API."""
    checks = Checks()
    ada, bearer = stage.people["ada"], stage.idp.person(stage.people["ada"], people.TASKS_SCOPE)
    answer = create(stage, bearer, "water the plants")
    passed = stage.wire.passed(answer.correlation)
    b = passed["notification"].claims if "notification" in passed else {}
    c = passed["audit"].claims if "audit" in passed else {}
    records = stage.decisions(answer.correlation, at_least=5)
    notified = _last(stage, "notification", "water the plants")
    wrote = _last(stage, "audit", "water the plants")

    checks.equal("an Admin creates a task", (201, "sent", "logged"), _statuses(answer))
    checks.equal("B speaks for the same person", (ada.id, ada.tenant), (b.get("oid"), b.get("tid")))
    checks.equal(
        "B is for Notification only",
        (people.NOTIFICATION, "Notify.Send"),
        (b.get("aud"), b.get("scp")),
    )
    checks.equal(
        "C is the app's own, with its role",
        (people.AUDIT, ["AuditLog.Write"], None),
        (c.get("aud"), c.get("roles"), c.get("scp")),
    )
    checks.equal(
        "Notification learns name, oid, tenant",
        (ada.name, ada.id, ada.tenant),
        tuple(notified.get(name) for name in ("name", "id", "tenant")),
    )
    checks.equal(
        "Audit learns the app and no person",
        ("app", people.TASK_API, "", ""),
        tuple(wrote.get(name) for name in ("kind", "client", "name", "email")),
    )
    checks.holds(
        "one correlation id joins every decision",
        "5 allows: in, out, in, out, in",
        [f"{r['at']} {r['direction']} {r['decision']}" for r in records],
        len(records) == 5 and all(r["decision"] == "allow" for r in records),
    )
    _people_differ(stage, checks)
    _audit_needs_its_role(stage, checks)
    _a_failed_notification_breaks_nothing(stage, checks)
    return Tasks(tuple(checks.made), answer, bearer.claims, b, c, tuple(records), notified, wrote)


def _people_differ(stage: Stage, checks: Checks) -> None:
    def sign_in(name: str) -> people.Bearer:
        return stage.idp.person(stage.people[name], people.TASKS_SCOPE)

    ada, ed, rita, zoe = (sign_in(name) for name in ("ada", "ed", "rita", "zoe"))
    made = create(stage, ed, "sort the mail")
    checks.equal("an Editor creates a task", (201, "sent", "logged"), _statuses(made))
    abroad = create(stage, zoe, "buy ink")
    checks.equal(
        "and one of the other tenant, as herself",
        (201, "sent", stage.people["zoe"].name),
        (abroad.status, abroad.get("notification_status"), (abroad.get("owner") or {}).get("name")),
    )
    refused = create(stage, rita, "nap")
    checks.equal(
        "a Reader's POST names required and granted",
        (403, "insufficient_role", ["Admin", "Editor"], ["Reader"]),
        (refused.status, refused.reason, refused.get("required"), refused.get("granted")),
    )
    tasks = stage.pods["tasks"]
    checks.equal("a Reader reads", 200, ask(tasks, "GET", PATH, rita).status)
    path = f"{PATH}/{made.get('id')}"
    forbidden = ask(tasks, "DELETE", path, ed)
    checks.equal("an Editor deletes nothing", "403 insufficient_role", forbidden.shown())
    checks.equal("an Admin deletes", 204, ask(tasks, "DELETE", path, ada).status)
    foreign = create(stage, sign_in("nick"), "come in")
    checks.equal("a tenant that is not listed", "403 tenant_not_allowed", foreign.shown())
    nobody = ask(tasks, "POST", PATH, body={"title": "who am I"})
    checks.equal("nobody at all", "401 missing_token", nobody.shown())


def _audit_needs_its_role(stage: Stage, checks: Checks) -> None:
    secret = (stage.folder / "secrets" / "reports").read_text()
    bearer = stage.idp.app(people.CONTOSO, people.REPORTS, secret, "api://audit/.default")
    body = {"event": "created", "about": "nothing"}
    refused = ask(stage.pods["audit"], "POST", "/entries", bearer, body)
    checks.equal(
        "Audit names the role that an app lacks",
        (403, "insufficient_role", ["AuditLog.Write"], []),
        (refused.status, refused.reason, refused.get("required"), refused.get("granted")),
    )


def _a_failed_notification_breaks_nothing(stage: Stage, checks: Checks) -> None:
    bearer = stage.idp.person(stage.people["ada"], people.TASKS_SCOPE)
    notification = stage.pods["notification"]
    notification.program.stop()
    try:
        alone = create(stage, bearer, "write to nobody")
    finally:
        notification.program.start()
        notification.come_up()
    checks.equal(
        "Notification is down: the task is kept", (201, "failed", "logged"), _statuses(alone)
    )
    again = create(stage, bearer, "write to somebody")
    checks.equal("Notification is back", (201, "sent", "logged"), _statuses(again))


def create(stage: Stage, bearer: people.Bearer, title: str) -> Answer:
    """Create a task."""
    return ask(stage.pods["tasks"], "POST", PATH, bearer, {"title": title})


def _statuses(answer: Answer) -> tuple[int, object, object]:
    return answer.status, answer.get("notification_status"), answer.get("audit_status")


def _last(stage: Stage, pod: str, about: str) -> Claims:
    visits = [visit for visit in stage.pods[pod].journal() if visit["about"] == about]
    return visits[-1] if visits else {}
