"""Ray Serve's own schema of the file. The only place where the command line imports Ray, which takes a second."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cluster.config.config_file import Complaint, child
from cluster.config.schema_check import schema_complaints


@dataclass(frozen=True, slots=True)
class HttpAddress:
    """Where Serve's HTTP proxies listen."""

    host: str
    port: int
    secure: bool

    @property
    def base_url(self) -> str:
        """The URL to reach it from this machine, without a slash at its end."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104 - not bound, replaced
        return f"http{'s' * self.secure}://{f'[{host}]' if ':' in host else host}:{self.port}"


def part_complaints(value: object) -> Iterator[Complaint]:
    """What Serve would refuse or, worse, ignore: in each application, and around them."""
    from ray.serve.schema import ServeApplicationSchema, ServeDeploySchema  # noqa: PLC0415

    applications = child(value, "applications")
    if not isinstance(value, dict) or not isinstance(applications, list):
        yield from schema_complaints(value, ServeDeploySchema)
        return
    yield from schema_complaints({**value, "applications": []}, ServeDeploySchema)
    for index, application in enumerate(applications):
        yield from schema_complaints(application, ServeApplicationSchema, ("applications", index))


def whole_complaints(value: object) -> list[Complaint]:
    """What Serve would refuse of the file as a whole. These are about ``applications``, not about one of them."""
    from ray.serve.schema import ServeDeploySchema  # noqa: PLC0415

    return schema_complaints(value, ServeDeploySchema)


def http_address(value: object) -> HttpAddress:
    """Serve's HTTP options in a valid config, with Serve's defaults."""
    from ray.serve.schema import ServeDeploySchema  # noqa: PLC0415

    options = ServeDeploySchema.model_validate(value).http_options
    return HttpAddress(options.host, options.port, options.ssl_certfile is not None)


def grpc_port(value: object) -> int | None:
    """Where Serve's gRPC proxies listen in a valid config, on every address; None: they are not started."""
    from ray.serve.schema import ServeDeploySchema  # noqa: PLC0415

    options = ServeDeploySchema.model_validate(value).grpc_options
    return options.port if options.grpc_servicer_functions and options.port > 0 else None
