"""What Grafana's refusals mean, and what to do about them."""

from __future__ import annotations

from models.errors import StowageError

# Of a save that is refused with 412, by Grafana's word for the reason.
_CONFLICTS = {
    "version-mismatch": ("somebody has saved it since it was read", "look at the diff, then push again"),
    "name-exists": (
        "another dashboard of the folder has its title, or one elsewhere its uid",
        "rename or remove the other one",
    ),
    "plugin-dashboard": ("it belongs to a plugin", "choose another folder"),
}
_STATUSES = {
    401: ("Grafana does not know the token", "give one that is valid: GRAFANA_TOKEN"),
    403: (
        "the token's service account may not do that",
        "give it the role Editor, and Admin where a data source has to be created",
    ),
    404: ("Grafana does not find it", "check --url, and its path behind a proxy"),
    409: ("there is one already, of the same name or uid", "choose another name"),
}


class GrafanaError(StowageError):
    """A Grafana cannot be reached, or does not do what it is asked. ``status``: of its answer, 0 without one."""

    def __init__(self, message: str, *, remedy: str | None = None, status: int = 0) -> None:
        super().__init__(message, remedy=remedy)
        self.status = status


def explain(status: int, answer: object, url: str, what: str = "") -> GrafanaError:
    """``answer``: the body, read as JSON where it is any. ``what``: the title of what was to be saved."""
    said, word = _said(answer)
    subject = f"{what!r} cannot be saved: " if what else ""
    known, remedy = _CONFLICTS.get(word, ("", "")) if status == 412 else _STATUSES.get(status, ("", ""))
    if status >= 500:
        known, remedy = "Grafana has failed", "look into its log"
    told = f"{url} answers {status}" + (f", {said!r}" if said else "")
    return GrafanaError(f"{subject}{known or 'it is refused'}; {told}", remedy=remedy or None, status=status)


def _said(answer: object) -> tuple[str, str]:
    """The message, and the word for the reason."""
    if isinstance(answer, dict):
        return str(answer.get("message", "")), str(answer.get("status", ""))
    return str(answer)[:200], ""
