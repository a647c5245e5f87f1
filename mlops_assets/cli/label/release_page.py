"""The page on which people approve or reject a release: what it changes, and two buttons.

A decision is only recorded here. What deploys an approved release is a sensor, or the next run.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.routing import Route

from mlops_assets.cli.label.page import answered, page_file
from mlops_assets.deploy.approval import ON_THE_PAGE, Decision, NotDecided, Waiting
from mlops_assets.deploy.service import Service
from mlops_assets.serving.overview_file import OVERVIEW, SHOWN, read_overview
from mlops_assets.settings import Settings
from mlops_assets.steps.put_live import champions_release_version, decide
from mlops_assets.training.champion import read_decision

_DECISIONS: dict[str, Decision] = {"approve": "approve", "reject": "reject"}


@dataclass(frozen=True)
class ReleasePage:
    """The page's routes. `named_by_door`: the door gives a person's name, not the page."""

    settings: Settings
    service: Service
    named_by_door: bool = False

    def routes(self, prefix: str = "") -> list[Route]:
        """The page under the path `prefix`, beside the page for labels."""
        return [
            Route(f"{prefix}/release", page_file("release.html")),
            Route(f"{prefix}/release.js", page_file("release.js")),
            Route(f"{prefix}/release/state", answered(self._state, door=self.named_by_door), methods=["POST"]),
            Route(f"{prefix}/release/decide", answered(self._decide, door=self.named_by_door), methods=["POST"]),
        ]

    def _state(self, _: dict[str, Any], by: str) -> dict[str, Any]:
        wanted = champions_release_version(self.settings)
        waiting, hold = (
            (self.service.approval.waiting(wanted), self.service.held_back(wanted)) if wanted else (None,) * 2
        )
        return {
            "by": by,
            "named": self.named_by_door,
            "said": hold.reason if hold else "no release waits for approval",
            "waiting": self._shown(waiting) if waiting else None,
        }

    def _decide(self, body: dict[str, Any], by: str) -> dict[str, Any]:
        decision, release = _DECISIONS.get(str(body.get("decision"))), str(body.get("release") or "")
        if decision is None or not release:
            raise NotDecided("a decision names a release, and is approve or reject: load the page again")
        comment = str(body.get("comment", ""))
        decided = decide(self.settings, self.service, decision, release, by=by, how=ON_THE_PAGE, comment=comment)
        next_step = "; it goes live within a minute, or with the next run" if decision == "approve" else ""
        said = f"Release {decided.release_version} is {decided.outcome} by {decided.caused_by}{next_step}"
        return {**self._state(body, by), "done": said}

    def _shown(self, waiting: Waiting) -> dict[str, Any]:
        entry, decision = waiting.entry, read_decision(self.settings.models)
        live = next((each for each in self.service.log.last_live(1)), None)
        return {
            "release": entry.release_version,
            "about": [
                ["Release", entry.release_version],
                ["Model", entry.model_version],
                ["Data", entry.dataset_version],
                ["Serves now", f"release {live.release_version}, model {live.model_version}" if live else "nothing"],
                ["Asked by", entry.caused_by],
                ["Waits until", waiting.shown_until],
                ["Why it was chosen", decision.reason if decision else ""],
            ],
            "comparison": self._comparison(entry.model_version),
        }

    def _comparison(self, model_version: str) -> Mapping[str, Any] | None:
        """Its answers beside those of the model before; the overview has the texts that are still stored."""
        overview = read_overview(self.settings.service_folder / SHOWN / OVERVIEW) or {}
        shown = overview.get("models", {}).get("comparison")
        if shown and shown["model_version"] == model_version:
            return shown
        decision = read_decision(self.settings.models)
        if decision is None or decision.model_version != model_version or not (found := decision.comparison):
            return None
        return {"said": found["said"], "changes": found["changes"], "examples": []}
