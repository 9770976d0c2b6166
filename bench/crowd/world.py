"""What must stand before a crowd comes? Its provider, its destinations, and the pods."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
import time
import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

from bench.crowd.plan import Errand
from bench.crowd.pod import CrowdPod
from bench.crowd.stores import Stores
from bench.crowd.verdict import Missed, Verdict, judge
from bench.provider import API, DIRECTORY, TENANT
from demo import trust
from demo.idp.directory import Directory, User
from demo.idp.loading import load
from demo.idp.server import IdentityProvider
from demo.ports import Ports
from demo.waiting import NotInTime, until

STORE = "aaaaaaaa-0000-4000-8000-000000000002"
AUDIENCES = {"minted": "minted", "suite": API, "behalf": STORE}
AT_ONCE = 48  # requests under way at one application


class World:
    """A crowd of *people* in front of *applications*; a context manager.

    Each person has one token. Destinations get one that is minted here (`minted`), the person's
    own (`suite`), and one of Entra's On-Behalf-Of flow (`behalf`).
    """

    def __init__(self, people: int, applications: Sequence[str]) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="crowd-"))
        self._ports = Ports()
        self._stores = Stores(self._ports.take())
        self._people = [str(uuid.uuid4()) for _ in range(people)]
        self._idp = IdentityProvider(_directory(self._people))
        self._applications = applications
        self.pods: dict[str, CrowdPod] = {}
        self._tokens: list[str] = []

    def __enter__(self) -> World:
        try:
            self._idp.start()
            self._stores.start()
            self._tokens = [self._token(person) for person in self._people]
            (self._folder / "secret").write_text("api-secret")
            workloads = [f"crowd/{name}" for name in self._applications]
            trust.lay_out(workloads, self._folder / "keys", self._folder / "trust.json")
            for name in self._applications:
                self.pods[name] = CrowdPod(
                    name, self._configuration(name), self._folder / name, self._ports
                )
            for pod in self.pods.values():
                pod.start()
            for pod in self.pods.values():
                pod.come_up()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for pod in self.pods.values():
            pod.stop()
        self._stores.stop()
        self._idp.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def run(self, errands: Sequence[Errand]) -> tuple[Verdict, float]:
        """Send everybody at once; what became of it, and in how many seconds."""
        began = time.monotonic()
        failed = asyncio.run(self._all(errands))
        # Some calls begin after the response; what never comes, the verdict says.
        with contextlib.suppress(NotInTime):
            until(lambda: not self._verdict(errands).wrong, "every call", bound=60)
        seconds = time.monotonic() - began
        verdict = self._verdict(errands)
        return replace(verdict, wrong=(*failed, *verdict.wrong)), seconds

    def _verdict(self, errands: Sequence[Errand]) -> Verdict:
        subjects = dict(enumerate(self._people))
        return judge(errands, subjects, AUDIENCES, self._stores.visits, self.missed())

    def missed(self) -> list[Missed]:
        """The calls that were not let out, as the applications were told."""
        return [miss for pod in self.pods.values() for miss in pod.missed()]

    async def _all(self, errands: Sequence[Errand]) -> list[str]:
        """Everybody's errands, one after the other for each person; sentences on what failed."""
        theirs: dict[int, list[Errand]] = {}
        for errand in errands:
            theirs.setdefault(errand.person, []).append(errand)
        # Without an expiry: httpx may close an idle connection that was just given to somebody, who
        # then reads an error. Measured: with 5 s in 1 of 6 runs, with 0.3 s three times in one run.
        limits = httpx.Limits(
            max_connections=None, max_keepalive_connections=None, keepalive_expiry=None
        )
        gates = {name: asyncio.Semaphore(AT_ONCE) for name in self.pods}
        async with httpx.AsyncClient(timeout=120, limits=limits, trust_env=False) as client:

            async def walk(person: list[Errand]) -> list[str]:
                return [found for errand in person if (found := await send(errand))]

            async def send(errand: Errand) -> str:
                headers = dict(errand.headers)
                headers["authorization"] = f"Bearer {self._tokens[errand.person]}"
                url = self.pods[errand.application].url + errand.path
                async with gates[errand.application]:
                    try:
                        answer = await client.get(url, headers=headers)
                    except httpx.HTTPError as error:
                        return f"{errand.application}{errand.path}: {error!r}"
                if answer.is_success:
                    return ""
                what = f"{errand.application}{errand.path}"
                return f"{what}: {answer.status_code} {answer.text[:200]}"

            walks = await asyncio.gather(*map(walk, theirs.values()))
        return [sentence for one in walks for sentence in one]

    def _token(self, person: str) -> str:
        now = int(time.time())
        claims = {"aud": API, "azp": API, "tid": TENANT, "oid": person, "sub": f"at-api-{person}"}
        claims |= {"iss": f"{self._idp.base_url}/{TENANT}/v2.0", "ver": "2.0", "scp": "access"}
        times = {"iat": now, "nbf": now, "exp": now + 3600}
        return self._idp.mint({**claims, **times, "uti": uuid.uuid4().hex})

    def _configuration(self, name: str) -> dict[str, Any]:
        entra = {"authority": self._idp.base_url, "caFile": str(self._idp.ca_file)}
        identity = {"tenant": TENANT, "clientId": API, "secretFile": str(self._folder / "secret")}
        credentials: dict[str, dict[str, Any]] = {
            "minted": {"internal": {"audience": "minted", "scopes": ["read"]}},
            "suite": {"forward": {}},
            "behalf": {"obo": {"identity": "api", "scopes": ["api://store/.default"]}},
        }
        return {
            "issuers": [
                {"name": "entra", "entra": {**entra, "tenants": [TENANT], "audiences": [API]}}
            ],
            "routes": [
                {"path": "/healthz", "anonymous": True},
                {"path": "/**", "require": {"caller": "user", "scopes": ["access"]}},
            ],
            "identities": [{"name": "api", "entra": {**entra, **identity}}],
            "destinations": [
                {
                    "name": store,
                    "hosts": [f"{store}.shop"],
                    "address": f"127.0.0.1:{self._stores.port}",
                    "credential": credential,
                }
                for store, credential in credentials.items()
            ],
            "internalTokens": {
                "issuer": f"https://{name}.crowd",
                "trustDomain": "crowd",
                "keys": str(self._folder / "keys" / name),
            },
        }


def _directory(people: Sequence[str]) -> Directory:
    """The benchmark's directory, with everybody in it: On-Behalf-Of knows its users."""
    known = load(DIRECTORY, "crowd")
    users = (User(one, TENANT, f"{one}@bench.example", "no-sign-in", one) for one in people)
    return replace(known, users=(*known.users, *users))
