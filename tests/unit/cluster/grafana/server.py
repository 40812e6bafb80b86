"""A server that answers by Grafana's published HTTP API, and refuses what that says it refuses.

No Grafana can be had here. From the documents of Grafana 11 and 12 on dashboards, their versions, folders and data
sources: paths, bodies, status codes, the words of a 412. It knows nothing of what is in a dashboard but its title,
uid and version.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field
from typing import Any, NoReturn

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

MAX_UID = 40
ROLES = {"viewer": "Viewer", "editor": "Editor", "admin": "Admin"}

Body = dict[str, Any]


@dataclass
class Save:
    """One version of a dashboard."""

    version: int
    content: Body
    message: str
    saved_by: str


@dataclass
class FakeGrafana:
    """``tokens``: the role of each. ``is_old``: versions are listed as Grafana did before 11.

    ``meanwhile``: a dashboard that somebody edits just before the next save arrives.
    """

    tokens: dict[str, str] = field(default_factory=lambda: dict(ROLES))
    prefix: str = ""
    is_old: bool = False
    folders: dict[str, str] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    saves: dict[str, list[Save]] = field(default_factory=dict)
    provisioned: set[str] = field(default_factory=set)
    sources: dict[str, Body] = field(default_factory=dict)
    writes: list[str] = field(default_factory=list)
    meanwhile: str = ""

    def app(self) -> Starlette:
        routes = [
            Route("/api/folders", self._list_folders, methods=["GET"]),
            Route("/api/folders", self._create_folder, methods=["POST"]),
            Route("/api/dashboards/db", self._save, methods=["POST"]),
            Route("/api/dashboards/uid/{uid}", self._read, methods=["GET"]),
            Route("/api/dashboards/uid/{uid}/versions", self._versions, methods=["GET"]),
            Route("/api/datasources", self._list_sources, methods=["GET"]),
            Route("/api/datasources/uid/{uid}", self._source_by_uid, methods=["GET", "PUT"]),
            Route("/api/datasources", self._create_source, methods=["POST"]),
        ]
        return Starlette(routes=[Mount(self.prefix, routes=routes)], exception_handlers={HTTPException: _refused})

    def edit(self, uid: str, message: str = "", saved_by: str = "ann", **changed: object) -> None:
        """As somebody does in the browser."""
        content = copy.deepcopy(self.content(uid)) | changed
        self._add(uid, content, message, saved_by)

    def content(self, uid: str) -> Body:
        return self.saves[uid][-1].content

    async def _list_folders(self, request: Request) -> Response:
        self._allow(request, "Viewer")
        return JSONResponse([{"id": 1, "uid": uid, "title": title} for uid, title in self.folders.items()])

    async def _create_folder(self, request: Request) -> Response:
        self._allow(request, "Editor")
        body = await _body(request)
        title = body.get("title") or _refuse(400, "folder title cannot be empty")
        if title in self.folders.values():
            _refuse(409, "a folder with the same name already exists in the current location")
        uid = _checked_uid(body.get("uid") or f"folder{len(self.folders)}")
        self.folders[uid] = title
        self.writes.append(f"folder {title}")
        return JSONResponse({"id": len(self.folders), "uid": uid, "title": title, "version": 1})

    async def _save(self, request: Request) -> Response:
        role = self._allow(request, "Editor")
        body = await _body(request)
        if self.meanwhile:
            self.edit(self.meanwhile)
            self.meanwhile = ""
        content, folder = body.get("dashboard"), body.get("folderUid", "")
        if not isinstance(content, dict) or not content.get("title"):
            _refuse(400, "Dashboard title cannot be empty", "empty-name")
        uid = _checked_uid(content.get("uid") or f"made-up-{len(self.saves)}")
        if folder and folder not in self.folders:
            _refuse(400, "folder not found", "not-found")
        if uid in self.provisioned:
            _refuse(400, "Cannot save provisioned dashboard")
        self._check_conflicts(uid, content, folder, overwrite=body.get("overwrite", False))
        self.places[uid] = folder
        saved = self._add(uid, content, body.get("message", ""), f"sa-{role.lower()}")
        self.writes.append(f"dashboard {uid}")
        return JSONResponse({"id": 1, "uid": uid, "status": "success", "version": saved.version, "slug": "x"})

    def _check_conflicts(self, uid: str, content: Body, folder: str, *, overwrite: bool) -> None:
        if overwrite:
            return
        if uid in self.saves and content.get("version") != self.saves[uid][-1].version:
            _refuse(412, "The dashboard has been changed by someone else", "version-mismatch")
        for other, place in self.places.items():
            if other != uid and place == folder and self.content(other)["title"] == content["title"]:
                _refuse(412, "A dashboard with the same name in the folder already exists", "name-exists")

    def _add(self, uid: str, content: Body, message: str, saved_by: str) -> Save:
        history = self.saves.setdefault(uid, [])
        version = len(history) + 1
        kept = {**content, "id": len(self.saves), "version": version}
        history.append(Save(version, kept, message, saved_by))
        return history[-1]

    async def _read(self, request: Request) -> Response:
        self._allow(request, "Viewer")
        uid = request.path_params["uid"]
        if uid not in self.saves:
            _refuse(404, "Dashboard not found")
        meta = {
            "folderUid": self.places.get(uid, ""),
            "provisioned": uid in self.provisioned,
            "updatedBy": self.saves[uid][-1].saved_by,
        }
        return JSONResponse({"dashboard": self.content(uid), "meta": meta})

    async def _versions(self, request: Request) -> Response:
        self._allow(request, "Editor")
        uid = request.path_params["uid"]
        if uid not in self.saves:
            _refuse(404, "Dashboard version not found")
        newest = self.saves[uid][::-1][: int(request.query_params.get("limit", 1000))]
        listed = [
            {"version": each.version, "message": each.message, "createdBy": each.saved_by, "uid": uid}
            for each in newest
        ]
        return JSONResponse(listed if self.is_old else {"continueToken": "", "versions": listed})

    async def _list_sources(self, request: Request) -> Response:
        self._allow(request, "Viewer")
        return JSONResponse(list(self.sources.values()))

    async def _source_by_uid(self, request: Request) -> Response:
        self._allow(request, "Viewer" if request.method == "GET" else "Admin")
        stored = self.sources.get(request.path_params["uid"]) or _refuse(404, "Data source not found")
        if request.method == "GET":
            return JSONResponse(stored)
        if stored["readOnly"]:
            _refuse(403, "Cannot update read-only data source")
        body = _checked_source(await _body(request))
        self.sources[stored["uid"]] = {**stored, **body, "version": stored["version"] + 1}
        self.writes.append(f"source {body['name']}")
        return JSONResponse({"message": "Datasource updated", "name": body["name"]})

    async def _create_source(self, request: Request) -> Response:
        self._allow(request, "Admin")
        body = _checked_source(await _body(request))
        if any(each["name"] == body["name"] for each in self.sources.values()):
            _refuse(409, "data source with the same name already exists")
        uid = f"source{len(self.sources)}"
        self.sources[uid] = {"uid": uid, "version": 1, "readOnly": False, **body}
        self.writes.append(f"source {body['name']}")
        return JSONResponse({"message": "Datasource added", "name": body["name"]})

    def _allow(self, request: Request, least: str) -> str:
        """The role of the caller."""
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if kind != "Bearer" or token not in self.tokens:
            _refuse(401, "Invalid API key")
        order = list(ROLES.values())
        if order.index(self.tokens[token]) < order.index(least):
            _refuse(403, "You'll need additional permissions to perform this action.")
        return self.tokens[token]


async def _body(request: Request) -> Body:
    if request.headers.get("Content-Type", "").partition(";")[0] != "application/json":
        _refuse(400, "bad request data")
    try:
        body = json.loads(await request.body())
    except ValueError:
        _refuse(400, "bad request data")
    if not isinstance(body, dict):
        _refuse(400, "bad request data")
    return body


def _checked_uid(uid: str) -> str:
    if len(uid) > MAX_UID:
        _refuse(400, "uid too long, max 40 characters")
    if not uid.replace("-", "").replace("_", "").isalnum():
        _refuse(400, "uid contains illegal characters")
    return uid


def _checked_source(body: Body) -> Body:
    if not all(body.get(each) for each in ("name", "type", "access")):
        _refuse(400, "bad request data")
    return body


def _refuse(status: int, message: str, word: str = "") -> NoReturn:
    raise HTTPException(status, json.dumps({"message": message} | ({"status": word} if word else {})))


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    body = error.detail if error.detail.startswith("{") else json.dumps({"message": "Not found"})
    return Response(body, error.status_code, media_type="application/json")
