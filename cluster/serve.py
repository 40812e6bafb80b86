"""``stowage serve``: check, import what is missing, run ``serve run``, say how far it is, end it cleanly."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cluster.child import ChildProcess, Patience, StopSignals
from cluster.config.serve_config import ServeConfig
from cluster.environment import serve_environment
from cluster.first_call import first_call
from cluster.imports import import_what_can_be
from cluster.live.dashboard import Dashboard, read_token
from cluster.live.readiness import Phase, ReadinessProbe, StartupReport, asks_for_keys
from cluster.port import require_free_port
from cluster.serve_output import ServeOutput, serve_command
from cluster.terminal.options import ConfigArgument
from cluster.validate import load_deployable
from models.errors import StowageError
from models.manifest import Manifest


@dataclass(frozen=True, slots=True)
class PollPeriods:
    """Seconds between two looks at the cluster: while it starts, and when every model is ready or has failed."""

    starting_s: float = 1.0
    settled_s: float = 10.0


LogsOption = Annotated[bool, typer.Option("--logs", help="Show all of Ray's output, the access log included.")]


def serve(config: ConfigArgument, logs: LogsOption = False) -> None:
    """Run the cluster of a configuration on this machine until Ctrl-C.

    Checks the file, imports the models that are not in the store yet, runs Ray's `serve run`, tells how each
    model comes up, and prints the URLs and a first call when they are ready.

    Exit code: 0 after Ctrl-C or SIGTERM, 1 when the configuration is wrong or the cluster ends by itself.
    """
    loaded = load_deployable(config)
    require_free_port(loaded.http.host, loaded.http.port)
    if loaded.grpc_port is not None:
        require_free_port("0.0.0.0", loaded.grpc_port, "grpc_options")  # noqa: S104 - Serve listens there
    manifests = import_what_can_be(loaded.model_args, Console(stderr=True))
    output = ServeOutput(lambda line: typer.echo(line, err=True), everything=logs)
    with StopSignals() as signals:
        child = ChildProcess(serve_command(config), serve_environment(os.environ, loaded.router), output.line)
        try:
            ServeSession(loaded, manifests, child, output).watch(signals, PollPeriods())
            typer.echo("Stopping the cluster ...")
        finally:
            child.stop(Patience())
    typer.echo("Stopped.")


class ServeSession:
    """Follows one running cluster and tells what changes."""

    def __init__(
        self, config: ServeConfig, manifests: Sequence[Manifest], child: ChildProcess, output: ServeOutput
    ) -> None:
        self._base_url = config.http.base_url
        self._grpc_port = config.grpc_port
        self._manifests = manifests
        self._child = child
        self._output = output
        self._probe = ReadinessProbe(f"{config.http.base_url}/readyz", config.router)
        self._report = StartupReport([config.router, *(str(args.id) for args in config.model_args)])

    def watch(self, signals: StopSignals, periods: PollPeriods) -> None:
        """Until a stop signal comes. StowageError when the cluster ends by itself."""
        announced = False
        while not signals.wait(periods.settled_s if announced else periods.starting_s):
            code = self._child.exit_code()
            if code is not None:
                raise StowageError(_ended(code, self._child.last_lines()))
            for line in self._report.update(self._probe(self._dashboard())):
                typer.echo(line)
            if self._report.is_settled() and not announced:
                announced = True
                self._announce()

    def _dashboard(self) -> Dashboard | None:
        url = self._output.dashboard_url
        # A new cluster writes its token while it starts, so it is looked for each time.
        return Dashboard(url, read_token(os.environ, Path.home())) if url else None

    def _announce(self) -> None:
        ready = self._report.named(Phase.READY)
        typer.echo(f"\nReady: {', '.join(ready) or 'nothing'}.")
        for word, phase in (("Failed", Phase.FAILED), ("Waiting for resources", Phase.WAITING)):
            if names := self._report.named(phase):
                typer.echo(f"{word}: {', '.join(names)}. The others serve.", err=True)
        typer.echo(f"  OpenAI API               {self._base_url}/v1")
        typer.echo(f"  Open Inference Protocol  {self._base_url}/v2")
        if self._grpc_port is not None:
            typer.echo(f"  The same over gRPC       127.0.0.1:{self._grpc_port}")
        typer.echo(f"  Ray dashboard            {self._output.dashboard_url or 'none'}")
        answering = [manifest for manifest in self._manifests if str(manifest.id) in ready]
        if answering:
            call = first_call(answering[0], self._base_url, with_key=asks_for_keys(self._base_url))
            typer.echo(f"\nA first call:\n\n  {call}\n")
        typer.echo("Ctrl-C stops the cluster.")


def _ended(code: int, last_lines: list[str]) -> str:
    how = f"exit code {code}" if code >= 0 else f"signal {-code}"
    return "\n".join([f"`serve run` ended by itself with {how}. Its last lines:", *last_lines[-15:]])
