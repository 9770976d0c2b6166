"""How is the webhook run? `attache injector run`, as charts/attache-injector does."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

app = typer.Typer(no_args_is_help=True, help="The webhook that does what `attache inject` does.")


@app.callback()
def _group() -> None:
    """Keeps `run` a command of its own while it is the only one."""


@app.command()
def run(
    settings: Annotated[
        Path, typer.Option(help="injector.yaml: images, resources, defaults", show_default=False)
    ],
    namespace: Annotated[str, typer.Option(help="where it runs", show_default=False)],
    service: Annotated[str, typer.Option(help="the Service that leads here")] = "attache-injector",
    secret: Annotated[
        str, typer.Option(help="the Secret in which its certificate is kept and rotated")
    ] = "attache-injector",  # noqa: S107 - its name
    webhooks: Annotated[
        str, typer.Option(help="the MutatingWebhookConfiguration whose caBundle it writes")
    ] = "attache-injector",
    certificates: Annotated[
        Path | None,
        typer.Option(help="serve tls.crt and tls.key of this folder, and write no caBundle"),
    ] = None,
    listen: Annotated[str, typer.Option(help="HTTPS, for the API server")] = "0.0.0.0:8443",
    health: Annotated[str, typer.Option(help="HTTP: /livez, /readyz, /metrics")] = "0.0.0.0:8080",
    certificate_life: Annotated[str, typer.Option(help="renewed after two thirds")] = "90d",
    interval: Annotated[str, typer.Option(help="between two looks at the certificate")] = "10s",
    api_server: Annotated[str, typer.Option(help="its URL; in a pod it is known")] = "",
    account: Annotated[
        Path, typer.Option(help="the folder with the service account's token and ca.crt")
    ] = Path("/var/run/secrets/kubernetes.io/serviceaccount"),
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error")] = "info",
) -> None:
    """Answer the API server's admission reviews until told to stop (SIGTERM)."""
    from pydantic import TypeAdapter, ValidationError

    from agent.config.fields import Address, Duration, Name
    from agent.inject.injector import Options, run_until_stopped
    from agent.inject.keeper import Place, service_names
    from agent.inject.settings import load_settings
    from agent.telemetry.log import configure

    duration = TypeAdapter(Duration)
    try:
        for name in (namespace, service, secret, webhooks):
            TypeAdapter(Name).validate_python(name)
        options = Options(
            listen=Address.parse(listen),
            health=Address.parse(health),
            settings=load_settings(settings),
            api=api_server or _in_cluster(),
            account=account,
            place=Place(namespace, secret, webhooks, service_names(service, namespace)),
            folder=certificates,
            life=duration.validate_python(certificate_life),
            interval=duration.validate_python(interval),
        )
        configure(log_level)
    except ValidationError:
        _fail("a name or a duration is not one; durations are written like 30s or 90d")
    except ValueError as reason:
        _fail(str(reason))
    try:
        run_until_stopped(options)
    except OSError as error:
        _fail(f"cannot listen on {listen} or {health}: {error.strerror}; choose other addresses")


def _in_cluster() -> str:
    """The API server's URL, as kubelet tells every container."""
    host = os.environ.get("KUBERNETES_SERVICE_HOST", "")
    if not host:
        raise ValueError("this is no pod; name the API server by --api-server")
    written = f"[{host}]" if ":" in host else host
    return f"https://{written}:{os.environ.get('KUBERNETES_SERVICE_PORT', '443')}"


def _fail(sentence: str) -> NoReturn:
    print(f"attache: {sentence}", file=sys.stderr)  # noqa: T201
    raise typer.Exit(1)
