"""What do we answer the API server? An AdmissionReview in, an AdmissionReview out.

https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from agent.inject.jsonpatch import diff
from agent.inject.levels import Level
from agent.inject.pod import Injected, Untouched, inject
from agent.inject.refusal import Refusal
from agent.inject.settings import Settings
from agent.inject.wish import mode_of
from agent.inject.workloads import called

VERSION, KIND = "admission.k8s.io/v1", "AdmissionReview"
RESULTS = ("injected", "unchanged", "refused", "malformed", "failed")

Tree = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reviewed:
    """The answer, whether it went well (a word of `RESULTS`), and a sentence for the log.

    `response` is None for what is no review: that is the caller's mistake, HTTP 400.
    """

    result: str
    response: Tree | None
    sentence: str


class Malformed(ValueError):
    """This is no review of a pod; the text says why."""


def reviewed(
    body: bytes, unasked: bool, settings: Settings, level: Callable[[str], Level | None]
) -> Reviewed:
    """Answer the AdmissionReview in *body*.

    *unasked*: the namespace asks for all of its pods. *level* tells a namespace's Pod Security
    level, None where it cannot be learnt; it is asked only where the answer depends on it.
    """
    try:
        request, pod = _read(body)
    except Malformed as why:
        return Reviewed("malformed", None, str(why))
    uid, namespace = request["uid"], request.get("namespace") or ""
    if request.get("operation") != "CREATE" or pod.get("kind") != "Pod":
        return Reviewed("unchanged", _answer(uid, allowed=True), "this is no new pod")
    name = called(pod, namespace)
    known = level(namespace) if mode_of(pod, settings).strip() == "redirect" else "privileged"
    outcome = inject(pod, settings, known, unasked)
    if isinstance(outcome, Refusal):
        message = f"attache cannot stand beside {name}: {outcome}"
        status = {"code": 403, "reason": "Forbidden", "message": message}
        return Reviewed("refused", _answer(uid, allowed=False, status=status), message)
    if isinstance(outcome, Untouched):
        sentence = f"{name}: {outcome.why}"
        return Reviewed("unchanged", _answer(uid, allowed=True), sentence)
    return Reviewed("injected", _patched(uid, pod, outcome), f"{name} gets its agent")


def _read(body: bytes) -> tuple[Tree, Tree]:
    try:
        review = json.loads(body)
    except (ValueError, RecursionError):
        raise Malformed("this is no JSON") from None
    if not isinstance(review, dict) or review.get("kind") != KIND:
        raise Malformed(f"this is no {KIND}")
    if review.get("apiVersion") != VERSION:
        raise Malformed(f"only {VERSION} is answered")
    request = review.get("request")
    if not isinstance(request, dict) or not isinstance(request.get("uid"), str):
        raise Malformed("the review has no request with a uid")
    namespace, pod = request.get("namespace"), request.get("object")
    if not isinstance(namespace or "", str) or not isinstance(pod or {}, dict):
        raise Malformed("the request's namespace is no text, or its object no mapping")
    return request, pod or {}


def _patched(uid: str, pod: Tree, outcome: Injected) -> Tree:
    patch = json.dumps(diff(pod, outcome.pod)).encode()
    answer = _answer(
        uid, allowed=True, patchType="JSONPatch", patch=base64.b64encode(patch).decode()
    )
    if outcome.warnings:
        answer["response"]["warnings"] = list(outcome.warnings)
    return answer


def _answer(uid: str, **response: Any) -> Tree:
    return {"apiVersion": VERSION, "kind": KIND, "response": {"uid": uid, **response}}
