"""A real browser, pages for it, and another site that means no good."""

from __future__ import annotations

import http.server
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.e2e.contract_inbound_tools import Echo

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
NONE = "there is no chromium on this machine (Debian: apt-get install chromium)"

PAGE = b"""<!DOCTYPE html><title>board</title><h1>Board</h1><a href="/.attache/logout">out</a>
<script>
const ask = async (method) => { const a = await fetch("/app/api", {method}); return a.status; };
</script>"""


class Pages(Echo):
    """The application: HTML for a browser that navigates, what it saw for everybody else."""

    def answer(self, request: http.server.BaseHTTPRequestHandler) -> tuple[int, bytes]:
        self.seen.append(dict(request.headers))
        if request.headers.get("sec-fetch-mode") == "navigate":
            return 200, PAGE
        return super().answer(request)

    def up(self) -> None:
        self.seen: list[dict[str, str]] = []
        super().up()
        self.extra = [("cache-control", "no-store")]
        if self._server:  # a browser shows what is called HTML
            handler: Any = self._server.RequestHandlerClass
            plain = handler.send_header

            def send_header(request: Any, name: str, value: str) -> None:
                page = request.headers.get("sec-fetch-mode") == "navigate"
                html = "text/html" if page and name == "content-type" else value
                plain(request, name, html)

            handler.send_header = send_header


class Evil:
    """Another site, under another name: its one page asks *victim* in every way that there is."""

    def __init__(self, victim: str) -> None:
        page = f"""<!DOCTYPE html><title>evil</title>
<iframe name="frame" src="{victim}/app/framed"></iframe><iframe name="target"></iframe>
<form id="f" method="post" target="target" action="{victim}/app/form"><input name="a"></form>
<script>document.getElementById("f").submit();
fetch("{victim}/app/fetched", {{mode: "no-cors", credentials: "include", method: "POST"}});
fetch("{victim}/.attache/logout", {{mode: "no-cors", credentials: "include"}});
</script>""".encode()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("content-type", "text/html")
                self.end_headers()
                self.wfile.write(page)

            def log_message(self, *_: object) -> None:
                """Silence."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/"

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@contextmanager
def chromium() -> Iterator[Callable[[], Any]]:
    """Give fresh profiles of one headless browser; skips where there is none."""
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip(NONE)
    with playwright.sync_playwright() as driver:
        # no-sandbox: a container's root may not make namespaces
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield lambda: browser.new_context(ignore_https_errors=True)
        finally:
            browser.close()
