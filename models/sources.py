"""Read the text that says where weights come from."""

from __future__ import annotations

import re
from collections.abc import Callable
from difflib import get_close_matches

from models.errors import SourceError
from models.hub import HubSource
from models.local_sources import FileSource, PackageSource
from models.object_store import BucketSource
from models.weight_source import Source

_HUB = re.compile(
    r"(?P<repo>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:/(?P<inner>[^@]+))?(?:@(?P<revision>[\w./-]+))?"
)


def parse_source(text: str) -> Source:
    """The source that ``text`` names; SourceError says what is wrong with it. Nothing is looked up yet."""
    scheme, separator, rest = text.partition(":")
    parser = _PARSERS.get(scheme) if separator else None
    if parser is None:
        raise SourceError(f"{text!r} begins with no known kind of source", remedy=_known_schemes(scheme))
    if not rest or any(not character.isprintable() for character in rest):
        raise SourceError(f"{text!r} names nothing after {scheme}:", remedy=_FORMS[scheme])
    return parser(rest)


def _parse_file(rest: str) -> Source:
    path = rest.removeprefix("//") if rest.startswith("///") else rest
    if not path.startswith(("/", "~")) or path.startswith("//"):
        raise SourceError(
            f"file:{rest} is not an absolute path",
            remedy=f"{_FORMS['file']}: the process that reads it may run in another folder",
        )
    return FileSource(path.rstrip("/") or "/")


def _parse_package(rest: str) -> Source:
    package, _, inner = rest.partition("/")
    inner = inner.strip("/")
    if not package.isidentifier() or ".." in inner.split("/"):
        raise SourceError(f"package:{rest} does not name a package", remedy=_FORMS["package"])
    return PackageSource(package, inner)


def _parse_hub(rest: str) -> Source:
    match = _HUB.fullmatch(rest)
    if match is None:
        raise SourceError(f"hf:{rest} does not name a repository", remedy=_FORMS["hf"])
    return HubSource(match["repo"], inner=match["inner"] or "", revision=match["revision"])


def _bucket_parser(scheme: str) -> Callable[[str], Source]:
    def parse(rest: str) -> Source:
        bucket, _, key = rest.removeprefix("//").partition("/")
        if not rest.startswith("//") or not bucket:
            raise SourceError(f"{scheme}:{rest} names no bucket", remedy=_FORMS[scheme])
        return BucketSource(f"{scheme}://{bucket}", key.strip("/"))

    return parse


_FORMS = {
    "file": "write file:/absolute/path or file:~/path",
    "package": "write package:PKG/inner/path, PKG being the name that Python imports",
    "hf": "write hf:org/name, hf:org/name@revision or hf:org/name/file.gguf@revision",
    "s3": "write s3://bucket/path",
    "gs": "write gs://bucket/path",
    "az": "write az://container/path",
}
_PARSERS: dict[str, Callable[[str], Source]] = {
    "file": _parse_file,
    "package": _parse_package,
    "hf": _parse_hub,
    "s3": _bucket_parser("s3"),
    "gs": _bucket_parser("gs"),
    "az": _bucket_parser("az"),
}


def _known_schemes(scheme: str) -> str:
    nearest = get_close_matches(scheme, _FORMS, n=1)
    if nearest:
        return f"did you mean {nearest[0]}: — {_FORMS[nearest[0]]}"
    return "; ".join(_FORMS.values())
