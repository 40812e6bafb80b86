"""``stowage models load|unload|scale|pin``: what runs, changed through the router, without the file."""

from __future__ import annotations

from typing import Annotated

import typer
from pydantic import JsonValue, TypeAdapter, ValidationError

from cluster.first_call import KEY_VARIABLE
from cluster.live.admin import Admin, DeployedModel

_JSON: TypeAdapter[JsonValue] = TypeAdapter(JsonValue)

ModelArgument = Annotated[str, typer.Argument(metavar="NAME[@VERSION]", help="A version, or a name that has one.")]
UrlOption = Annotated[str, typer.Option(envvar="STOWAGE_URL", help="The router, as http://host:port.")]
KeyOption = Annotated[
    str | None,
    typer.Option(envvar=KEY_VARIABLE, show_default=False, help="An operator's API key."),
]
TimeoutOption = Annotated[float, typer.Option(min=1, help="Seconds to wait at most.")]

DEFAULT_URL = "http://127.0.0.1:8000"
_TIMEOUT_S = 300.0


def load(
    model: Annotated[
        str, typer.Argument(metavar="NAME[@VERSION]", help="A version of the store; the newest if none is given.")
    ],
    *,
    args: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="A field of ModelArgs, as max_replicas=2; repeatable."),
    ] = None,
    wait: Annotated[bool, typer.Option(help="Return when it is ready, or has failed.")] = True,
    url: UrlOption = DEFAULT_URL,
    key: KeyOption = None,
    timeout: TimeoutOption = _TIMEOUT_S,
) -> None:
    """Deploy a version that is in the store. Deploying the file leaves it as it is."""
    name, _, version = model.partition("@")
    written = dict(map(_read_field, args or ()))
    _show(Admin(url, key, timeout).load(name, version or None, written, wait=wait))


def unload(
    model: ModelArgument,
    *,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Also what a route, shadow or rollout leads to, or the last version of its name."
        ),
    ] = False,
    url: UrlOption = DEFAULT_URL,
    key: KeyOption = None,
    timeout: TimeoutOption = _TIMEOUT_S,
) -> None:
    """Take a version away, once it has answered what is under way."""
    gone = Admin(url, key, timeout).unload(model, force=force)
    returns = " The file has it: `serve deploy` starts it again." if gone.returns else ""
    typer.echo(f"{gone.id} is unloaded.{returns}")


def scale(
    model: ModelArgument,
    *,
    low: Annotated[int | None, typer.Option("--min", min=0, help="The fewest replicas; 0 lets it sleep.")] = None,
    high: Annotated[int | None, typer.Option("--max", min=1, help="The most replicas.")] = None,
    url: UrlOption = DEFAULT_URL,
    key: KeyOption = None,
    timeout: TimeoutOption = _TIMEOUT_S,
) -> None:
    """Change how many replicas a version has, without restarting those that run."""
    given = {"min_replicas": low, "max_replicas": high}
    change = {name: value for name, value in given.items() if value is not None}
    if not change:
        raise typer.BadParameter("give --min, --max or both")
    _show(Admin(url, key, timeout).change(model, change))


def pin(
    model: ModelArgument,
    *,
    off: Annotated[bool, typer.Option("--off", help="Let it go again when others need its room.")] = False,
    url: UrlOption = DEFAULT_URL,
    key: KeyOption = None,
    timeout: TimeoutOption = _TIMEOUT_S,
) -> None:
    """Keep a model of a pool loaded."""
    _show(Admin(url, key, timeout).change(model, {"pinned": not off}))


def _read_field(text: str) -> tuple[str, JsonValue]:
    """A value that is no JSON is a text."""
    name, separator, value = text.partition("=")
    if not separator:
        raise typer.BadParameter(f"{text!r} gives nothing: write FIELD=VALUE")
    try:
        return name, _JSON.validate_json(value)
    except ValidationError:
        return name, value


def _show(model: DeployedModel) -> None:
    reason = f": {model.reason}" if model.reason else ""
    typer.echo(f"{model.id} is {model.status}{reason} ({model.replicas} replicas up).")
