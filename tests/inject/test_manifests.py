"""Manifests in, manifests out: added lines, and every other byte as it was."""

from __future__ import annotations

import difflib
import json
import textwrap
from typing import Any

import kubernetes_validate
import pytest
from ruamel.yaml import YAML

from agent.inject.manifests import Manifests, injected
from agent.inject.settings import Settings

SETTINGS = Settings()
NATIVE = ["attache-init", "attache", "attache-envoy"]


def run(text: str, settings: Settings = SETTINGS) -> Manifests:
    return injected(textwrap.dedent(text).encode(), settings, "restricted")


def documents(content: bytes) -> list[Any]:
    return [d for d in YAML(typ="safe", pure=True).load_all(content.decode()) if d is not None]


def only_adds(before: str, after: str) -> bool:
    lines = difflib.ndiff(before.splitlines(), after.splitlines())
    return not any(line.startswith("- ") for line in lines)


DEPLOYMENT = """\
# why we have this
apiVersion: apps/v1
kind: Deployment   # kept
metadata:
  name: task-api
  namespace: shop

spec:
  selector: {matchLabels: {app: task-api}}
  template:
    metadata:
      labels: {app: task-api}  # short
      annotations:
        attache.dev/application-port: "8000"
    spec:
      containers:
      # the application
      - name: app     # first
        image: "shop/task-api:1"
        command: ["python", '-m',   app]
        args:
        - |
          a text
            with lines

        - >-
          folded
          text
        ports:
        - {containerPort: 8000, name: http}
        readinessProbe:
          httpGet: {path: /healthz, port: http}

      # beside it
      - name: log
        image: shop/log:1
      # the end of the containers
# the end
"""


class TestText:
    def test_lines_are_added_and_none_is_changed_but_the_port_of_a_probe(self) -> None:
        after = run(DEPLOYMENT).content.decode()
        changed = DEPLOYMENT.replace("path: /healthz, port: http", "path: /healthz, port: 15006")
        assert only_adds(changed, after)
        deployment = documents(after.encode())[0]
        kubernetes_validate.validate(deployment, "1.33", strict=True)
        spec = deployment["spec"]["template"]["spec"]
        assert [c["name"] for c in spec["initContainers"]] == NATIVE
        assert spec["containers"][0]["args"] == ["a text\n  with lines\n", "folded text"]

    def test_a_second_time_changes_no_byte(self) -> None:
        once = run(DEPLOYMENT)
        assert (once.injected, once.errors) == (1, ())
        twice = injected(once.content, SETTINGS, "restricted")
        assert (twice.content, twice.injected) == (once.content, 0)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "\n",
            "# nothing but words\n",
            "---\n---\n...\n",
            "%YAML 1.2\n---\nkind: Service\napiVersion: v1\n...\n",
            "kind:   ConfigMap\napiVersion: v1\ndata: {a:   b}   # as it was\n",
            "apiVersion: v1\nkind: ConfigMap\ndata:\n  a: !Sub x\n  b: &b 1\n  c: *b\n  b: 2\n",
            "- a\n- b\n",
            "just words",
            "apiVersion: example.org/v1\nkind: Deployment\nspec: {template: 7}\n",
            '{"apiVersion":"v1","kind":"Secret","data":{}}',
            "\ufeffapiVersion: v1\r\nkind: Namespace\r\n",
            "apiVersion: v1\nkind: Pod\nmetadata: {annotations: {attache.dev/inject: 'false'}}\n"
            "spec: {containers: [{name: a, image: b}]}\n",
            "apiVersion: v1\nkind: List\nitems: []\n",
        ],
    )
    def test_what_gets_no_agent_keeps_every_byte(self, text: str) -> None:
        done = injected(text.encode(), SETTINGS, "restricted")
        assert (done.content, done.injected, done.errors) == (text.encode(), 0, ())

    def test_among_many_documents_only_the_pods_change(self) -> None:
        service = "apiVersion: v1\nkind: Service  # mine\nmetadata:   {name: s}\n"
        text = f"{service}---\n# two\n{DEPLOYMENT}---\n{service}...\n"
        after = run(text).content.decode()
        assert after.startswith(f"{service}---\n# two\n# why we have this\n")
        assert after.endswith(f"# the end\n---\n{service}...\n")

    @pytest.mark.parametrize(
        "text",
        [
            "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n  - name: x",
            "apiVersion: v1\nkind: Pod\nmetadata:\nspec:\n  containers: [{name: x, env: []}]\n",
            "{apiVersion: v1, kind: Pod, spec: {containers: [{name: x}]}}\n",
            "--- {apiVersion: v1, kind: Pod, spec: {containers: [{name: x}]}}\n",
            "apiVersion: v1\nkind: Pod\nspec:\n    initContainers: [{name: i}]\n"
            "    containers:\n        -   name: x\n            env: []\n",
            "apiVersion: v1\nkind: Pod\nspec:\n  volumes:  # none\n  initContainers:\n"
            "  # before\n  - name: i\n  containers:\n  - name: x\n    env:\n    - name: A\n"
            "    args:\n    - |+\n      kept\n\n",
            "apiVersion: v1\nkind: Pod\nmetadata:\n  annotations:\n    a: |\n      x\n\n"
            "    # nothing\nspec:\n  containers:\n  - name: x\n    lifecycle:\n",
            "apiVersion: v1\r\nkind: Pod\r\nspec:\r\n  containers:\r\n  - name: x\r\n",
            "apiVersion: v1\nkind: Pod\nspec:\n  nodeSelector: {1: a}\n"
            "  containers:\n  - name: x\n    when: 2001-01-02\n    env:\n    - name: é\u2028\n",
        ],
    )
    def test_every_way_to_write_a_pod_is_written_into(self, text: str) -> None:
        done = injected(text.encode(), SETTINGS, "restricted")
        assert done.errors == ()
        assert not [said for said in done.warnings if "anew" in said]
        (pod,) = documents(done.content)
        assert [c["name"] for c in pod["spec"]["initContainers"]][:3] == NATIVE
        assert len(pod["spec"]["volumes"]) == 3
        assert ("\r\n" in text) == ("\r\n" in done.content.decode())
        assert injected(done.content, SETTINGS, "restricted").content == done.content

    def test_json_stays_json(self) -> None:
        pod = {"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"name": "é"}]}}
        for indent in (None, 2, 4):
            done = run(json.dumps(pod, indent=indent))
            assert len(done.content.decode().splitlines()) > 1 or indent is None
            assert json.loads(done.content)["spec"]["containers"][0]["name"] == "é"

    def test_words_that_kubectl_would_not_take_for_text_are_quoted(self) -> None:
        done = run(DEPLOYMENT, Settings.model_validate({"configMap": "yes"}))
        assert b'name: "yes"' in done.content
        assert b'- "2"' in done.content


class TestAnchors:
    SHARED = """\
        apiVersion: v1
        kind: List
        x: &containers [{name: app, image: a}]
        items:
        - apiVersion: v1
          kind: Pod
          metadata: {name: one}
          spec: &spec
            containers: *containers
        - apiVersion: v1
          kind: Pod
          metadata: {name: two, annotations: {attache.dev/inject: "false"}}
          spec: *spec
        - apiVersion: v1
          kind: Pod
          metadata: {name: three}
          spec: {<<: *spec, restartPolicy: Never}
        """

    def test_what_pods_share_is_changed_in_none_that_did_not_ask(self) -> None:
        done = run(self.SHARED)
        (said,) = [said for said in done.warnings if "anew" in said]
        assert said.startswith("document 1 (line 1), List ")
        one, two, three = documents(done.content)[0]["items"]
        assert [c["name"] for c in one["spec"]["initContainers"]] == NATIVE
        assert two["spec"] == {"containers": [{"name": "app", "image": "a"}]}
        assert three["spec"]["restartPolicy"] == "Never"
        assert three["spec"]["initContainers"] == one["spec"]["initContainers"]

    def test_a_few_aliases_cannot_fill_the_memory(self) -> None:
        laughs = ["a0: &a0 [x,x,x,x,x,x,x,x,x,x]"]
        laughs += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
        done = run("apiVersion: v1\nkind: Pod\n" + "\n".join(laughs))
        assert done.errors == ("document 1 (line 1): this holds more than 500000 values; split it",)


KINDS = [
    ("v1", "Pod", "{spec}"),
    ("v1", "ReplicationController", "{{template: {{spec: {spec}}}}}"),
    ("apps/v1", "Deployment", "{{template: {{spec: {spec}}}}}"),
    ("apps/v1", "StatefulSet", "{{template: {{spec: {spec}}}}}"),
    ("apps/v1", "DaemonSet", "{{template: {{spec: {spec}}}}}"),
    ("apps/v1", "ReplicaSet", "{{template: {{spec: {spec}}}}}"),
    ("batch/v1", "Job", "{{template: {{spec: {spec}}}}}"),
    ("batch/v1", "CronJob", "{{jobTemplate: {{spec: {{template: {{spec: {spec}}}}}}}}}"),
]


class TestKinds:
    @pytest.mark.parametrize(("version", "kind", "spec"), KINDS)
    def test_every_kind_that_describes_pods_is_injected(
        self, version: str, kind: str, spec: str
    ) -> None:
        pod = "{restartPolicy: Never, containers: [{name: app, image: a}]}"
        text = f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: x}}\n"
        text += f"spec: {spec.format(spec=pod)}\n"
        done = run(text)
        assert (done.injected, done.errors) == (1, ())
        assert b"attache-envoy" in done.content

    def test_lists_of_lists_and_lists_of_one_kind_are_looked_into(self) -> None:
        pod = "{apiVersion: v1, kind: Pod, spec: {containers: [{name: a}]}}"
        inner = f"{{apiVersion: v1, kind: List, items: [{pod}]}}"
        service = "{apiVersion: v1, kind: Service}"
        assert run(f"apiVersion: v1\nkind: List\nitems: [{inner}, {service}, {pod}]").injected == 2
        bare = "{spec: {containers: [{name: a}]}}"
        assert run(f"apiVersion: v1\nkind: PodList\nitems: [{bare}, {pod}]").injected == 2

    def test_a_job_ends_beside_native_sidecars_and_is_refused_beside_ordinary_ones(self) -> None:
        job = """\
            apiVersion: batch/v1
            kind: Job
            metadata: {name: nightly}
            spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: b}]}}}
            """
        spec = documents(run(job).content)[0]["spec"]["template"]["spec"]
        assert [c["name"] for c in spec["containers"]] == ["a"]
        assert [c.get("restartPolicy") for c in spec["initContainers"]] == [
            None,
            "Always",
            "Always",
        ]
        done = run(job, Settings(sidecars="ordinary"))
        assert done.content == b""
        assert done.errors[0].startswith(
            "document 1 (line 1), Job nightly: spec.template.spec.restartPolicy: "
        )


class TestErrors:
    def test_an_error_names_document_line_object_and_path_and_nothing_is_printed(self) -> None:
        bad = DEPLOYMENT.replace("name: log", "name: attache")
        done = run(f"kind: Service\napiVersion: v1\n---\n{bad}---\nkind: [\n")
        assert done.content == b""
        assert done.errors[0] == (
            "document 2 (line 3), Deployment shop/task-api: spec.template.spec.containers[1].name: "
            "'attache' is the name of a container of the agent; rename yours"
        )
        assert done.errors[1].startswith("document 3 (line ")
        assert "this is not YAML" in done.errors[1]

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("apiVersion: v1\nkind: Pod\nspec: 7\n", "spec: this is no mapping"),
            ("apiVersion: v1\nkind: Pod\nspec: {containers: []}\n", "spec.containers: the pod has"),
            ("apiVersion: v1\nkind: Pod\nspec: {containers: [{image: a}]}\n", "there is no name"),
            ("apiVersion: apps/v1\nkind: Deployment\nspec: {}\n", "there is no pod template"),
            ("apiVersion: v1\nkind: Pod\nkind: Pod\n", "duplicate key"),
            ("apiVersion: v1\nkind: Pod\nspec: !x {}\n", "cannot be read"),
            ("apiVersion: v1\nkind: Pod\nmetadata: {annotations: {a: 1}}\nspec: {}\n", "in quotes"),
            ("a: \x01\n", "this is not YAML"),
            ("[" * 3000, "not YAML|nested too deeply"),
        ],
    )
    def test_what_is_no_manifest_is_told_and_breaks_nothing(self, text: str, words: str) -> None:
        (error,) = injected(text.encode(), SETTINGS, "restricted").errors
        assert any(word in error for word in words.split("|"))

    def test_what_is_no_text_is_told(self) -> None:
        done = injected(b"kind: Pod\nname: \xff\n", SETTINGS, "restricted")
        assert done.errors == ("line 2: this is not UTF-8; save the file as UTF-8",)
