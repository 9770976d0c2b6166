"""Does a person with a browser sign in at the gateway, and does the session stay there?"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from http.cookies import SimpleCookie
from urllib.parse import parse_qsl, urljoin, urlsplit

import requests

from demo.idp.directory import User
from demo.journeys.outcome import Answer, Check, Checks
from demo.pod import plain
from demo.stage import Stage

HTML = "text/html,application/xhtml+xml"
SESSION = "__Host-attache-task-api"


@dataclass(frozen=True, slots=True)
class Signed:
    """What the journey found. `hops` are the addresses that the browser was led through."""

    checks: tuple[Check, ...]
    hops: tuple[str, ...]
    answer: Answer
    cookie_bytes: int


class PlainBrowser:
    """What a browser does with cookies and redirects, and no more.

    Over http it keeps what is `Secure` for localhost, as browsers do and HTTP clients do not.
    """

    def __init__(self, home: str, ca_file: str) -> None:
        self.home = home
        self.cookies: dict[str, str] = {}
        self._ca = ca_file

    def ask(self, method: str, url: str, **headers: str) -> requests.Response:
        """One request; nothing is followed."""
        return self.send(method, url, headers={n.replace("_", "-"): v for n, v in headers.items()})

    def send(self, method: str, url: str, **given: object) -> requests.Response:
        """One request with whatever `requests` takes."""
        url = urljoin(self.home, url)
        headers = dict(given.pop("headers", None) or {})  # type: ignore[call-overload]
        ours = urlsplit(url).netloc == urlsplit(self.home).netloc
        if ours and self.cookies:
            headers["cookie"] = "; ".join(f"{n}={v}" for n, v in self.cookies.items())
        with plain() as session:
            answer = session.request(
                method, url, headers=headers, verify=self._ca, timeout=30,
                allow_redirects=False, **given,  # type: ignore[arg-type]
            )  # fmt: skip
        for written in answer.raw.headers.getlist("set-cookie") if ours else ():
            for name, morsel in SimpleCookie(written).items():
                self.cookies[name] = morsel.value
                if morsel["max-age"] == "0":
                    del self.cookies[name]
        return answer

    def visit(self, path: str, user: User) -> tuple[requests.Response, list[str]]:
        """Open a page and sign in as *user* where a form asks for it; also where that led."""
        url, hops = urljoin(self.home, path), list[str]()
        answer = self.ask("GET", url, accept=HTML)
        for _ in range(8):
            hops.append(url)
            if location := answer.headers.get("location"):
                url = urljoin(url, location)
                answer = self.ask("GET", url, accept=HTML)
            elif 'name="password"' in answer.text:
                form = dict(parse_qsl(urlsplit(url).query))
                form |= {"username": user.username, "password": user.password}
                answer = self.send("POST", url.partition("?")[0], data=form)
            else:
                break
        return answer, hops


def run(stage: Stage) -> Signed:
    """Ada opens the board, adds a task, and signs out."""
    checks = Checks()
    pod, ada = stage.pods["tasks"], stage.people["ada"]
    browser = PlainBrowser(pod.page, str(stage.ca_file))
    fetched = browser.ask("GET", "/api/tasks", sec_fetch_mode="cors", sec_fetch_site="same-origin")
    checks.equal("a fetch by nobody: 401, no redirect", 401, fetched.status_code)
    shown, hops = browser.visit("/board", ada)
    checks.equal("the page is there after signing in", 200, shown.status_code)
    checks.holds("it greets her by name", ada.name, shown.text[:80], ada.name in shown.text)
    checks.equal("back on the page that was asked for", f"{pod.page}/board", hops[-1])
    sealed = not re.search("eyJ", "".join(browser.cookies.values()))
    checks.holds(
        "one sealed __Host- cookie is all that the browser has",
        SESSION,
        list(browser.cookies),
        sealed and list(browser.cookies) == [SESSION],
    )
    size = sum(len(name) + len(value) + 1 for name, value in browser.cookies.items())
    own = {"sec-fetch-mode": "cors", "sec-fetch-site": "same-origin"}
    added = browser.send("POST", "/api/tasks", json={"title": "tea"}, headers=own)
    told = added.json() if added.ok else {}
    checks.equal("Notify: sent", "sent", told.get("notification_status"))
    checks.equal("Audit: logged", "logged", told.get("audit_status"))
    checks.equal("the task is Ada's", ada.id, (told.get("owner") or {}).get("id"))
    foreign = browser.send(
        "POST", "/api/tasks", json={"title": "x"}, headers={"origin": "https://evil.example"}
    )
    checks.equal("another site's form is refused", "403 cross_site", _shown(foreign))
    stolen = dict(browser.cookies)
    gone, hops_out = browser.visit("/.attache/logout", ada)
    checks.equal(
        "signed out, and back on the front page",
        (200, f"{pod.page}/"),
        (gone.status_code, hops_out[-1]),
    )
    checks.equal("no cookie is left", {}, browser.cookies)
    browser.cookies = stolen
    checks.equal(
        "a copy of the cookie opens nothing", 401, browser.ask("GET", "/api/tasks").status_code
    )
    answer = Answer(added.status_code, told, added.headers.get("x-correlation-id", ""))
    return Signed(tuple(checks.made), tuple(hops), answer, size)


def _shown(answer: requests.Response) -> str:
    try:
        kind = str(json.loads(answer.text).get("type", ""))
    except ValueError:
        kind = ""
    return f"{answer.status_code} {kind.removeprefix('urn:attache:')}"
