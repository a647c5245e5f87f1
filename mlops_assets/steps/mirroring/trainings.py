"""The trainings and the live model, which MLflow mirrors.

A model stays below `models/` until its kind is trained again. So a training that MLflow lacks is kept, as links to its
files, until MLflow has it.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mlops_assets import artifact
from mlops_assets.artifact import METRICS_FILES, BrokenArtifact
from mlops_assets.deploy.history import DeploymentLog
from mlops_assets.mirrors.mirror import ItemRefused, without_login
from mlops_assets.mirrors.mlflow_runs import CHAMPION, MlflowRuns, Training, open_runs
from mlops_assets.params.operations import MirrorRules
from mlops_assets.settings import Settings
from mlops_assets.training.champion import read_decision
from mlops_assets.training.metrics import Metrics

_SHAPE = "1"
_RECORD, _CARD, _MODEL = "training.json", "card.md", "model"
_FIGURES = ("n", "accuracy", "macro_f1", "log_loss", "calibration_error", "accuracy_by_frequency")


class TrainingsInMlflow:
    """Each training is an item under its model version, and so is the alias of the live model, whose mark it is."""

    name = "MLflow"
    items = "trainings and aliases"
    removes = False

    def __init__(self, settings: Settings, uri: str, kept: Path, rules: Callable[[], MirrorRules]) -> None:
        self._settings, self._uri, self._kept, self._rules = settings, uri, kept, rules

    @property
    def address(self) -> str:
        return without_login(self._uri)

    def marks(self) -> Mapping[str, str]:
        """Trainings first: the alias needs the live model's version."""
        kept = [path.parent.name for path in sorted(self._kept.glob(f"*/{_RECORD}"))]
        live = self._live()
        alias = {CHAMPION: live[0]} if live else {}
        return dict.fromkeys((*kept, *self._found()), _SHAPE) | alias

    def keep(self, done: Mapping[str, str]) -> None:
        """Keep each training that MLflow lacks."""
        for version, (folder, metrics) in self._found().items():
            if version not in done:
                self._keep(version, folder, metrics)

    @contextmanager
    def open(self) -> "Iterator[_OpenTrainings]":
        with open_runs(self._uri, timeout_s=self._rules().timeout_s) as runs:
            yield _OpenTrainings(runs, self._kept)

    def _live(self) -> tuple[str, Path] | None:
        """Version and folder of the model that went live last."""
        log = self._settings.service_folder / "deployments.sqlite"
        for entry in DeploymentLog(log).last_live(1) if log.is_file() else []:
            return entry.model_version, self._settings.releases / entry.release_version / "model"
        return None

    def _found(self) -> dict[str, tuple[Path, Metrics]]:
        """The models that are here, by version: those trained last, the champion and the live one."""
        models, found = self._settings.models, dict[str, tuple[Path, Metrics]]()
        for kind, name in METRICS_FILES.items():
            metrics = Metrics.read(models / name)
            if metrics and metrics.model_version and _version(models / kind) == metrics.model_version:
                found[metrics.model_version] = models / kind, metrics
        live = self._live()
        for folder in (models / "champion", *([live[1]] if live else [])):
            if (version := _version(folder)) and version not in found:
                found[version] = folder, Metrics.of(artifact.read(folder, verify=False).metrics)
        return found

    def _keep(self, version: str, folder: Path, metrics: Metrics) -> None:
        target = self._kept / version
        if target.is_dir():
            return
        scratch = self._kept / f".{version}.partial"
        shutil.rmtree(scratch, ignore_errors=True)
        # A training may replace the folder at this moment: then nothing is kept, and the next look finds the new one.
        with suppress(FileNotFoundError, shutil.Error):
            shutil.copytree(folder, scratch / _MODEL, copy_function=_link)
        if _version(scratch / _MODEL) != version or not artifact.is_whole(scratch / _MODEL):
            shutil.rmtree(scratch, ignore_errors=True)
            return
        self._describe(scratch, metrics)
        scratch.replace(target)

    def _describe(self, scratch: Path, metrics: Metrics) -> None:
        from mlops_assets.training.card import model_card

        manifest = artifact.read(scratch / _MODEL, verify=False)
        version, source = artifact.model_version(scratch / _MODEL), manifest.trained_with
        decision = read_decision(self._settings.models)
        card = model_card(
            manifest, version, decision=decision if decision and decision.candidate_version == version else None
        )
        (scratch / _CARD).write_text(card, encoding="utf-8")
        record = {
            "kind": manifest.kind,
            "params": {
                "kind": manifest.kind,
                "dataset_version": source.dataset_version,
                "label_rule": source.label_rule,
                "reviews": str(source.reviews),
                "recipe": source.recipe,
                "code": source.code,
                **self._recipe(manifest),
            },
            "metrics": _figures(metrics),
            "tags": {
                "dataset_version": source.dataset_version,
                "apps": ", ".join(manifest.trained_on.apps),
                "generated_reviews": str(manifest.trained_on.generated).lower(),
                "dagster_run_id": metrics.run_id or "",
                "trained_at": metrics.trained_at or "",
            },
        }
        (scratch / _RECORD).write_text(json.dumps(record), encoding="utf-8")

    def _recipe(self, manifest: artifact.Manifest) -> dict[str, str]:
        """The recipe's values, if params.yaml still has those that the model was trained with."""
        from mlops_assets.training.kinds import KINDS

        kind = KINDS.get(manifest.kind)
        recipe = kind.recipe(self._settings.sections) if kind else None
        if kind is None or recipe is None or recipe.digest() != manifest.trained_with.recipe:
            return {}
        return {f"{kind.name}.{name}": str(value) for name, value in recipe.model_dump(mode="json").items()}


class _OpenTrainings:
    def __init__(self, runs: MlflowRuns, kept: Path) -> None:
        self._runs, self._kept = runs, kept
        self.token, self.set_token = runs.token, runs.set_token

    def write(self, key: str, mark: str) -> None:
        if key == CHAMPION:
            self._runs.point_champion(mark)
            return
        folder = self._kept / key
        if not folder.is_dir():
            raise ItemRefused(f"the files of model {key} are not as they were sealed: make run FORCE_RETRAIN=1")
        record: dict[str, Any] = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
        card = (folder / _CARD).read_text(encoding="utf-8")
        self._runs.log(Training(version=key, model=folder / _MODEL, card=card, **record))
        shutil.rmtree(folder)

    def remove(self, key: str) -> None:
        """Nothing: MLflow keeps the history of trainings."""


def _version(folder: Path) -> str | None:
    try:
        return artifact.model_version(folder)
    except (BrokenArtifact, FileNotFoundError):
        return None


def _link(source: str, target: str) -> None:
    """A hard link, which costs no space; a copy where the file system cannot link."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _figures(metrics: Metrics) -> dict[str, float]:
    """The scores of each side with their intervals, as `test.accuracy` and `test.accuracy.low`."""
    found = dict[str, float]()
    for side, scores in metrics.measured().items():
        for name in _FIGURES:
            value, interval = getattr(scores, name), getattr(scores, f"{name}_interval", None)
            bounds = dict(zip(("low", "high"), interval or (), strict=False))
            for suffix, figure in {"": value, **{f".{end}": bound for end, bound in bounds.items()}}.items():
                if figure is not None:
                    found[f"{side}.{name}{suffix}"] = float(figure)
    return found
