"""Which model serves: the candidates' answers to the gate side, the verdict, and the commit of what was decided."""

import shutil
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_assets import artifact
from mlops_assets.assets.reviews import current_dataset_version, labelled_reviews
from mlops_assets.resources.dvc_repository import DvcRepository
from mlops_assets.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

    from mlops_assets.training.evaluate import Evaluation
    from mlops_assets.training.gate import Contender

_TIMED_TEXTS = 30


def choose(
    settings: Settings, repository: DvcRepository, live_model: str | None, *, run_id: str, forced: bool
) -> dict[str, Any]:
    """Judge the candidates, put the better one under `models/champion`, commit both; the record of the decision."""
    from mlops_assets.training.card import model_card
    from mlops_assets.training.champion import candidates, champion_folder, read_record, write_record
    from mlops_assets.training.evaluate import Evaluation
    from mlops_assets.training.gate import decide

    models = settings.models
    rules = Evaluation.from_params(settings.sections["evaluate"])
    frame = labelled_reviews(settings, repository)
    gate = frame[frame["side"] == "gate"].reset_index(drop=True)
    present = candidates(models)
    dataset_version = current_dataset_version(repository)
    incumbent = champion_folder(models)
    champion = _contender("champion", incumbent, gate) if incumbent else None
    verdict = decide(
        [_contender(kind, models / kind, gate) for kind in present],
        champion,
        gate,
        required=_why_wanted(incumbent, dataset_version, live_model, forced=forced),
        rules=rules,
    )
    forward = _forward(incumbent, frame, rules) if incumbent else None
    if verdict.promote:
        _put_in_place(models / verdict.candidate, models / "champion")
    serves = artifact.read(models / "champion", verify=False)
    repository.stage_models(
        bert=models / "bert" if "bert" in present else None,
        classic=models / "classic" if "classic" in present else None,
        metrics={name: models / name for name in ("bert_metrics.json", "metrics.json") if (models / name).is_file()},
    )
    chosen = artifact.model_version(models / "champion")
    committed = repository.commit_models(
        run_id, f"Models on data {dataset_version}: {serves.kind} serves", dataset_version, champion=chosen
    )
    record = {
        "model": serves.kind,
        "model_version": chosen,
        "dataset_version": serves.trained_with.dataset_version,
        "against": verdict.champion_version,
        "promoted": verdict.promote,
        "reason": verdict.reason,
        "figures": verdict.record()["figures"],
        "forward": forward and {**forward, "model_version": verdict.champion_version},
        "candidates": present,
        "models_trained": committed.changed,
        "commit": committed.commit,
        "origin": committed.origin,
        "run_id": run_id,
        "since": settings.now().isoformat() if verdict.promote else (read_record(models) or {}).get("since"),
    }
    card = model_card(
        serves,
        record["model_version"],
        decision=record,
        forward=None if verdict.promote else forward,
    )
    (models / "champion.md").write_text(card, encoding="utf-8")
    write_record(models, record)
    return record


def _forward(incumbent: Path, frame: "pd.DataFrame", rules: "Evaluation") -> dict[str, Any] | None:
    """The serving model on the reviews that arrived after its data version; none where there are none."""
    from mlops_assets.serving.model import load
    from mlops_assets.training.evaluate import arrived_since, forward

    arrived = arrived_since(frame, artifact.read(incumbent, verify=False).metrics)
    model = load(incumbent)
    arrived = arrived[arrived["label"].isin(model.labels)]
    if arrived.empty:
        return None
    return forward(arrived, model.probabilities(arrived["review_text"].tolist()), model.labels, rules)


def _why_wanted(incumbent: Path | None, dataset_version: str, live_model: str | None, *, forced: bool) -> str | None:
    """Why a model that is only as good as the one chosen last would still be wanted."""
    if forced:
        return "forced"
    if incumbent is None:
        return None
    if artifact.read(incumbent, verify=False).trained_with.dataset_version != dataset_version:
        return "the data changed"
    chosen = artifact.model_version(incumbent)
    return None if live_model == chosen else f"model {chosen}, which was chosen last, does not serve"


def _contender(name: str, folder: Path, gate: "pd.DataFrame") -> "Contender":
    """The model's answers to the gate side as the server would give them, and what serving it costs."""
    from mlops_assets.serving.model import load
    from mlops_assets.training.gate import Contender

    model = load(folder)
    texts = gate["review_text"].tolist()
    probabilities = model.probabilities(texts)
    times: list[float] = []
    for text in texts[:_TIMED_TEXTS]:
        started = time.perf_counter()
        model.probabilities([text])
        times.append((time.perf_counter() - started) * 1000)
    return Contender(
        name=name,
        model_version=artifact.model_version(folder),
        labels=tuple(model.labels),
        probabilities=probabilities,
        milliseconds=statistics.median(times) if times else None,
        megabytes=sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6,
    )


def _put_in_place(source: Path, target: Path) -> None:
    """A copy of `source` as `target`, whole or not at all."""
    scratch, old = target.with_name(".champion.partial"), target.with_name(".champion.old")
    for leftover in (scratch, old):
        shutil.rmtree(leftover, ignore_errors=True)
    shutil.copytree(source, scratch)
    if target.exists():
        target.replace(old)
    scratch.replace(target)
    shutil.rmtree(old, ignore_errors=True)
