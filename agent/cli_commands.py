"""Which commands are there beside `attache run`? `attache --help`."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from agent.cli_inject import inject
from agent.cli_injector import app as injector
from agent.cli_login import login
from agent.cli_pod import app as pod
from agent.cli_revocations import app as revocations
from agent.cli_run import SUMMARY, run
from agent.cli_standing import credentials, status
from agent.config.loading import ConfigInvalid, load, missing_files

INVALID = 2

app = typer.Typer(
    name="attache",
    help="An auth agent that stands beside a service as an Envoy sidecar.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
envoy = typer.Typer(no_args_is_help=True, help="Configuration for the Envoy beside the agent.")
keys = typer.Typer(no_args_is_help=True, help="Signing keys of internal tokens.")
_PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


@app.command("run", context_settings=_PASS_ON, help=SUMMARY)
def _run(context: typer.Context) -> None:
    run(context.args)


app.add_typer(envoy, name="envoy")
app.add_typer(keys, name="keys")
app.add_typer(pod, name="pod")
app.add_typer(revocations, name="revocations")
app.command()(inject)
app.add_typer(injector, name="injector")
app.command()(login)

ConfigOption = Annotated[Path, typer.Option("--config", help="attache.yaml", show_default=False)]
FolderOption = Annotated[Path, typer.Option("--keys", help="internalTokens.keys")]


class Speaker(StrEnum):
    """Whose request causes an outbound call."""

    USER = "user"
    APP = "app"
    NOBODY = "nobody"


class Others(StrEnum):
    """Envoys that are not ours."""

    ISTIO = "istio"
    ENVOY_GATEWAY = "envoy-gateway"
    ENVOY = "envoy"


@app.command()
def check(
    config: Annotated[Path, typer.Argument(help="attache.yaml", show_default=False)],
    files: Annotated[
        bool, typer.Option(help="Also look for the files that the configuration names.")
    ] = True,
) -> None:
    """Say whether a configuration is valid: exit code 0, or 2 with messages."""
    parsed = load(config)
    if files and (missing := missing_files(parsed, config)):
        raise ConfigInvalid(missing)
    for warning in warnings(parsed):
        print(f"warning: {warning}", file=sys.stderr)  # noqa: T201
    print(  # noqa: T201
        f"{config}: valid: {len(parsed.issuers)} issuers, {len(parsed.routes)} routes, "
        f"{len(parsed.destinations)} destinations"
    )


@app.command()
def schema() -> None:
    """Print the JSON Schema of attache.yaml."""
    from agent.config.schema import schema as build

    _print_json(build())


@app.command()
def explain(
    config: ConfigOption,
    method: Annotated[str, typer.Argument(metavar="METHOD")],
    path: Annotated[str, typer.Argument(metavar="PATH", help="with its query; outbound: a URL")],
    token_file: Annotated[
        str, typer.Option("--token-file", help="the caller's token; - reads standard input")
    ] = "",
    header: Annotated[list[str] | None, typer.Option(help="NAME=VALUE, as often as needed")] = None,
    host: Annotated[str, typer.Option(help="the Host that the caller used")] = "",
    jwks: Annotated[
        list[str] | None, typer.Option(help="[ISSUER=]FILE with an issuer's keys")
    ] = None,
    online: Annotated[
        bool, typer.Option("--online/--offline", help="fetch the issuers' keys as the agent would")
    ] = False,
    at: Annotated[str, typer.Option(help="decide as of this time: RFC 3339 or seconds")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="for machines")] = False,
    outbound: Annotated[bool, typer.Option("--outbound", help="a call of the application")] = False,
    speaker: Annotated[
        Speaker, typer.Option("--as", help="outbound: whose request is being served")
    ] = Speaker.USER,
) -> None:
    """Print each step of a decision: 0 allowed, 1 denied, 3 allowed on an unchecked condition."""
    from agent.explain.command import Asked, Misused
    from agent.explain.command import explain as run_explain

    asked = Asked(
        config=config,
        method=method,
        path=path,
        host=host,
        headers=tuple(header or ()),
        token_file=token_file,
        jwks=tuple(jwks or ()),
        online=online,
        at=at,
        as_json=as_json,
        outbound=outbound,
        speaker=speaker.value,
    )
    try:
        code = run_explain(asked)
    except Misused as mistake:
        _fail(str(mistake), INVALID)
    raise typer.Exit(code)


@app.command("test")
def rehearse(
    cases: Annotated[Path, typer.Argument(help="cases.yaml", show_default=False)],
    config: Annotated[
        Path | None, typer.Option("--config", help="attache.yaml; stronger than the file's own")
    ] = None,
    junit: Annotated[Path | None, typer.Option(help="write a report for CI here")] = None,
) -> None:
    """Compare what a configuration decides with what its cases expect: 0 all as expected, or 1."""
    from agent.explain.command import Misused
    from agent.explain.rehearsal import rehearse as run_rehearsal

    try:
        code = run_rehearsal(cases, config, junit)
    except Misused as mistake:
        _fail(str(mistake), INVALID)
    raise typer.Exit(code)


@envoy.command()
def bootstrap(config: ConfigOption) -> None:
    """Print the small bootstrap: the agent serves the rest over ADS."""
    from agent.envoy.bootstrap import bootstrap as build

    _print_json(build(load(config)))


@envoy.command()
def static(config: ConfigOption) -> None:
    """Print everything as one file, for an Envoy without ADS."""
    from agent.envoy.bootstrap import static as build
    from agent.envoy.tls import system_bundle

    parsed = load(config)
    for destination in parsed.destinations:
        if destination.delivery == "sds":
            _fail(
                f"destination '{destination.name}' has delivery: sds, whose credential comes over "
                "ADS; use `attache envoy bootstrap`, or write delivery: check"
            )
    _print_json(build(parsed, system_bundle()))


@envoy.command()
def snippet(
    config: ConfigOption,
    envoys: Annotated[Others, typer.Option("--for", help="whose Envoy it is")],
) -> None:
    """Print what another's Envoy needs to ask this agent."""
    from agent.envoy.snippet import envoy_gateway, istio, plain_envoy

    build = {
        Others.ISTIO: istio.snippet,
        Others.ENVOY_GATEWAY: envoy_gateway.snippet,
        Others.ENVOY: plain_envoy.snippet,
    }[envoys]
    print(build(load(config)), end="")  # noqa: T201


@keys.command()
def new(folder: FolderOption) -> None:
    """Make a signing key; running agents publish it at once and sign with it later."""
    from agent.credentials.keyring import new_key

    try:
        print(new_key(folder))  # noqa: T201
    except OSError as error:
        _fail(f"cannot write a key into {folder}: {error.strerror}; make the folder writable")


@keys.command("list")
def list_(config: ConfigOption) -> None:
    """Show the signing keys: which are published, and which one signs."""
    from rich.console import Console
    from rich.table import Table

    from agent.app import key_listing

    parsed = load(config)
    if parsed.internal_tokens is None:
        _fail("the configuration has no internalTokens")
    table = Table("key id", "file", "age", "state")
    for row in key_listing(parsed):
        table.add_row(*row)
    Console().print(table)


app.command()(credentials)
app.command()(status)


def _beside(module: str) -> Any:
    def command(context: typer.Context) -> None:
        if importlib.util.find_spec(module.partition(".")[0]) is None:
            _fail("the demo is not part of this installation; use a checkout of the project")
        os.execv(sys.executable, [sys.executable, "-m", module, *context.args])  # noqa: S606

    return command


app.command("demo", context_settings=_PASS_ON, help="Watch tokens travel (same as make demo).")(
    _beside("demo")
)
app.command("dev-idp", context_settings=_PASS_ON, help="Run the local identity provider.")(
    _beside("demo.idp")
)


def warnings(config: Any) -> list[str]:
    """Choices that are valid and loud."""
    from agent.policy.shadows import warnings as about_routes

    return about_routes(config.routes) + [
        f"issuer '{issuer.name}' accepts users of ANY Entra tenant (allowAnyTenant)"
        for issuer in config.issuers
        if issuer.entra and issuer.entra.allow_any_tenant
    ]


def _print_json(document: dict[str, Any]) -> None:
    print(json.dumps(document, indent=2))  # noqa: T201


def _fail(sentence: str, code: int = 1) -> NoReturn:
    print(f"attache: {sentence}", file=sys.stderr)  # noqa: T201
    raise typer.Exit(code)
