"""``stowage keys``: who may call, told straight to the state database."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import ValidationError

from cluster.actor import actor
from cluster.key_rows import KEY_COLUMNS, key_json, key_row
from cluster.state_location import StateConfigOption, StateOption, open_state
from cluster.terminal.options import JsonOption, read_duration
from cluster.terminal.render import print_json, print_table
from deployments.identity.caller import Priority, Role
from deployments.limits.limit_set import LimitName
from deployments.state.api_key import ApiKey, IssuedKey, KeyGrant

if TYPE_CHECKING:
    from deployments.state.keys import Keys

PrefixArgument = Annotated[
    str, typer.Argument(metavar="PREFIX", help="The key's public part, as `list` shows it.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print the key alone.")]


def keys_commands() -> typer.Typer:
    """The group of commands."""
    group = typer.Typer(
        no_args_is_help=True, rich_markup_mode=None, help="Create, list, rotate and revoke API keys."
    )
    group.command("create")(create)
    group.command("list")(list_keys)
    group.command("rotate")(rotate)
    group.command("revoke")(revoke)
    return group


def create(
    owner: Annotated[str, typer.Argument(metavar="OWNER", help="Who is to have it: a person, team or program.")],
    *,
    tenant: Annotated[str, typer.Option(help="Whose budget and fair share its requests count for.")] = "default",
    role: Annotated[list[Role] | None, typer.Option(help="What it is for; repeatable. Default: caller.")] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A model, NAME@VERSION or pattern that it may use; repeatable."),
    ] = None,
    priority: Annotated[
        Priority, typer.Option(help="Which requests wait when a model is saturated.")
    ] = Priority.INTERACTIVE,
    limit: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="A limit, as requests_per_minute=60; repeatable."),
    ] = None,
    expires: Annotated[
        float | None, typer.Option(metavar="DURATION", parser=read_duration, help="From now, as 90d.")
    ] = None,
    state: StateOption = None,
    config: StateConfigOption = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make a key. Its text is the last line that is printed, and nothing can show it again."""
    grant = _grant(
        owner=owner,
        tenant=tenant,
        roles=role or [Role.CALLER],
        models=model or None,
        priority=priority,
        limits=_limits(limit or ()),
        expires_at=None if expires is None else time.time() + expires,
    )
    with _opened(state, config) as keys:
        _show_issued(keys.create(grant, actor()), quiet=quiet, as_json=as_json)


def list_keys(state: StateOption = None, config: StateConfigOption = None, as_json: JsonOption = False) -> None:
    """List all keys, those that were revoked or have expired included."""
    with _opened(state, config) as keys:
        found = keys.list()
    if as_json:
        print_json([key_json(key) for key in found])
    elif found:
        _print_keys(found)
    else:
        typer.echo("no API keys")


def rotate(
    prefix: PrefixArgument,
    grace: Annotated[str, typer.Option(metavar="DURATION", help="How long the old text goes on.")] = "24h",
    state: StateOption = None,
    config: StateConfigOption = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Give a key a new text. The old one goes on for a while, so that its holders can change over."""
    with _opened(state, config) as keys:
        _show_issued(keys.rotate(prefix, read_duration(grace), actor()), quiet=quiet, as_json=as_json)


def revoke(
    prefix: PrefixArgument,
    state: StateOption = None,
    config: StateConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a key. Routers refuse it within about a second."""
    with _opened(state, config) as keys:
        revoked = keys.revoke(prefix, actor())
    if as_json:
        print_json(key_json(revoked))
    else:
        typer.echo(f"Revoked {revoked.prefix} of {revoked.grant.owner}.")


@contextmanager
def _opened(state: str | None, config: Path | None) -> Iterator[Keys]:
    from deployments.state.keys import Keys  # noqa: PLC0415  only what works on them waits for SQLAlchemy

    with open_state(state, config) as database:
        yield Keys(database)


def _limits(written: Sequence[str]) -> dict[str, str]:
    limits = {}
    for each in written:
        name, _, value = each.partition("=")
        if name not in set(LimitName):
            raise typer.BadParameter(f"{each!r} is no limit: write NAME=VALUE with one of {', '.join(LimitName)}")
        limits[name] = value
    return limits


def _grant(**fields: object) -> KeyGrant:
    try:
        return KeyGrant.model_validate(fields)
    except ValidationError as error:
        reasons = (f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise typer.BadParameter("; ".join(reasons)) from error


def _show_issued(issued: IssuedKey, *, quiet: bool, as_json: bool) -> None:
    if as_json:
        print_json({"key": issued.text, **key_json(issued.key)})
        return
    if not quiet:
        _print_keys([issued.key])
        typer.echo()
    typer.echo(issued.text)


def _print_keys(keys: Sequence[ApiKey]) -> None:
    now = time.time()
    print_table(KEY_COLUMNS, [key_row(key, now) for key in keys])
