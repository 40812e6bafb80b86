"""A Grafana server, by the package grafana-api: the only file that knows it, and the HTTP client below it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote, urlsplit

import requests
from grafana_api.grafana_api import GrafanaException
from grafana_api.grafana_face import GrafanaFace

from cluster.grafana.problems import GrafanaError, explain
from cluster.grafana.wanted import DataSource, Rendered, Stored

_TIMEOUT_S: Final = 10.0
_NOT_FOUND: Final = 404


class Grafana:
    """One server, asked with one token. All methods raise GrafanaError, with what to do about it."""

    def __init__(self, url: str, token: str, *, ca_file: str | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
            raise GrafanaError(
                f"{url!r} is no address of a Grafana",
                remedy="write it as https://grafana.example.org, without a user",
            )
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        prefix = f"{parts.path.strip('/')}/".lstrip("/")
        self._url = url
        self._face = GrafanaFace(
            token, host, parts.port, prefix, parts.scheme, verify=ca_file or True, timeout=_TIMEOUT_S
        )
        self._face.api.s.max_redirects = 0  # a token goes to the address that was given and to no other

    def folder(self, title: str) -> str | None:
        """The uid of the folder at the root that has this title; None where there is none."""
        found = [each["uid"] for each in self._ask(self._face.folder.get_all_folders) if each["title"] == title]
        if len(found) > 1:
            raise GrafanaError(
                f"{len(found)} folders have the title {title!r}", remedy="rename all but one of them"
            )
        return found[0] if found else None

    def create_folder(self, title: str) -> str:
        """Its uid."""
        return str(self._ask(lambda: self._face.folder.create_folder(title))["uid"])

    def dashboard(self, uid: str) -> Stored | None:
        """As it was saved last; None where there is none."""
        found = self._find(lambda: self._face.dashboard.get_dashboard(uid))
        if found is None:
            return None
        version = found["dashboard"]["version"]
        last = self._version(uid, version)
        meta = found["meta"]
        return Stored(
            version,
            meta.get("folderUid", ""),
            last.get("message", ""),
            last.get("createdBy") or meta.get("updatedBy", ""),
            bool(meta.get("provisioned")),
        )

    def content(self, uid: str) -> Mapping[str, Any]:
        """The JSON of a dashboard that is there."""
        content: dict[str, Any] = self._ask(lambda: self._face.dashboard.get_dashboard(uid))["dashboard"]
        return content

    def save(self, wanted: Rendered, folder_uid: str, replaced: Stored | None) -> int:
        """The version that it has then. Fails where somebody has saved another one since ``replaced`` was read."""
        content = json.loads(wanted.text)
        body = {
            "dashboard": {**content, "id": None, "version": replaced.version if replaced else 0},
            "folderUid": folder_uid,
            "message": wanted.message,
            "overwrite": False,
        }
        return int(self._ask(lambda: self._face.dashboard.update_dashboard(body), wanted.title)["version"])

    def data_source(self, name: str) -> DataSource | None:
        """The one of this name; None where there is none."""
        for each in self._ask(self._face.datasource.list_datasources):
            if each["name"] == name:
                return DataSource(name, each["url"], each["uid"], each["type"], bool(each.get("readOnly")))
        return None

    def save_data_source(self, wanted: DataSource, stored: DataSource | None) -> None:
        """Create it, or let the one that is there lead to the wanted address and keep the rest of it."""
        if stored is None:
            body = {"name": wanted.name, "type": wanted.kind, "access": "proxy", "url": wanted.url}
            self._ask(
                lambda: self._face.datasource.create_datasource({**body, "jsonData": {"httpMethod": "POST"}})
            )
            return
        path = f"/datasources/uid/{quote(stored.uid, safe='')}"
        body = self._ask(lambda: self._face.api.GET(path))
        self._ask(lambda: self._face.api.PUT(path, json={**body, "url": wanted.url}))

    def _version(self, uid: str, version: int) -> Mapping[str, Any]:
        """What is known of one save. Grafana lists the newest first, since version 11 within an object."""
        found = self._ask(lambda: self._face.api.GET(f"/dashboards/uid/{quote(uid, safe='')}/versions?limit=10"))
        versions = found["versions"] if isinstance(found, dict) else found
        return next((each for each in versions if each["version"] == version), {})

    def _find(self, call: Callable[[], Any]) -> Any | None:
        try:
            return self._ask(call)
        except GrafanaError as error:
            if error.status == _NOT_FOUND:
                return None
            raise

    def _ask(self, call: Callable[[], Any], what: str = "") -> Any:
        try:
            return call()
        except GrafanaException as error:
            raise explain(error.status_code, error.response, self._url, what) from error
        except requests.exceptions.SSLError as error:
            remedy = "give the certificate of the authority that has signed it: --ca FILE"
            raise GrafanaError(
                f"the certificate of {self._url} cannot be trusted: {error}", remedy=remedy
            ) from error
        except requests.exceptions.TooManyRedirects as error:
            remedy = "give the address that it redirects to, with https and its path"
            raise GrafanaError(f"{self._url} redirects to another address", remedy=remedy) from error
        except requests.exceptions.JSONDecodeError as error:
            raise GrafanaError(f"{self._url} answers, but not as a Grafana does", remedy="check --url") from error
        except (requests.exceptions.RequestException, OSError) as error:
            raise GrafanaError(f"no Grafana answers at {self._url}: {error}", remedy="check --url") from error
