"""The manifests for KubeRay."""

from __future__ import annotations

from collections.abc import Mapping

from cluster.provision.document import yaml_text
from cluster.provision.kuberay.documents import kuberay_documents
from cluster.provision.spec import ClusterSpec

_HEADER = """\
# Made by `stowage cluster render kuberay --spec cluster/cluster.yaml --output cluster`.
# Change cluster/cluster.yaml, not this file. docs/kubernetes.md says what is what.
"""


def render(spec: ClusterSpec) -> Mapping[str, str]:
    """Those below ``kuberay/`` that follow from the specification. ConfigError when it has no section kuberay."""
    return {
        f"kuberay/{path}": _HEADER + "---\n".join(yaml_text(document) for document in documents)
        for path, documents in kuberay_documents(spec).items()
    }
