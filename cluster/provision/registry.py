"""What can be made of a specification, by the provider's name. A renderer is imported when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from importlib import import_module

from cluster.provision.spec import ClusterSpec

# From a specification to files: their texts, by their paths from the folder of the specification.
Renderer = Callable[[ClusterSpec], Mapping[str, str]]


class ProviderName(StrEnum):
    """Each has a module of its name in ``cluster/provision/render/``, with a function ``render``."""

    AWS = "aws"
    GCP = "gcp"
    AZURE = "azure"
    ONPREM = "onprem"
    KUBERAY = "kuberay"


def renderer(provider: ProviderName) -> Renderer:
    """The function that makes the files of ``provider``."""
    render: Renderer = import_module(f"cluster.provision.render.{provider}").render
    return render
