"""Which model serves: the candidates' answers to the gate side, the verdict, and the commit of what was decided."""

import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_assets import artifact
from mlops_assets.artifact import Kind
from mlops_assets.assets.reviews import current_dataset_version, labelled_reviews
from mlops_assets.failures import PermanentFailure
from mlops_assets.resources.dvc_repository import DvcRepository
from mlops_assets.settings import Settings
from mlops_assets.training.champion import METRICS

if TYPE_CHECKING:
    import pandas as pd

    from mlops_assets.resources.service import Live
    from mlops_assets.training.evaluate import Evaluation
    from mlops_assets.training.gate import Contender

_TIMED_TEXTS = 30


def choose(
    settings: Settings, repository: DvcRepository, live: "Live | None", *, run_id: str, forced: bool
) -> dict[str, Any]:
    """Judge the candidates, commit both with the decision and the card, put the better one under `models/champion`.

    They are judged against the model that is live. That is not the one chosen last where a person rolled back or a
    deployment failed; it then takes the place of the one chosen last, unless a candidate does.

    The champion changes only after the commit. Killed anywhere, the next call finds the champion of before, and the
    decision on the branch if it got that far: the same candidates against the same champion are judged once.
    """
    from mlops_assets.training.card import model_card
    from mlops_assets.training.champion import (
        candidates,
        champion_folder,
        keep_place,
        put_in_place,
        settle_place,
        write_record,
    )

    models = settings.models
    settle_place(models)
    present = candidates(models)
    incumbent = _serving(settings, live) or champion_folder(models)
    against = artifact.model_version(incumbent) if incumbent else None
    committed = repository.decision()
    if committed and (committed["candidates"], committed["against"]) == (present, against):
        decision = committed
    else:
        decision = _decide(settings, repository, live, present, incumbent, run_id=run_id, forced=forced)
    serving = models / decision["candidate"] if decision["promoted"] or incumbent is None else incumbent
    serves = artifact.read(serving)
    card = model_card(
        serves,
        decision["model_version"],
        decision=decision,
        forward=None if decision["promoted"] else decision["forward"],
    )
    repository.stage_models(
        bert=models / "bert" if "bert" in present else None,
        classic=models / "classic" if "classic" in present else None,
        metrics={METRICS[kind]: models / METRICS[kind] for kind in present},
    )
    dataset_version = decision["judged_on"]
    version = repository.commit_models(
        run_id,
        f"Models on data {dataset_version}: {serves.kind} serves",
        dataset_version,
        champion=decision["model_version"],
        decision=decision,
        card=card,
    )
    if serving != models / "champion":
        put_in_place(serving, models)
    record = {
        **decision,
        "models_trained": version.changed,
        "commit": version.commit,
        "origin": version.origin,
        "run_id": run_id,
    }
    (models / "champion.md").write_text(card, encoding="utf-8")
    write_record(models, record)
    keep_place(models)
    return record


def _decide(
    settings: Settings,
    repository: DvcRepository,
    live: "Live | None",
    present: Mapping[Kind, str],
    incumbent: Path | None,
    *,
    run_id: str,
    forced: bool,
) -> dict[str, Any]:
    """The decision between the candidates and the champion, as it is stored with the version."""
    from mlops_assets.training.champion import read_record
    from mlops_assets.training.evaluate import Evaluation
    from mlops_assets.training.gate import decide

    models = settings.models
    rules = Evaluation.from_params(settings.sections["evaluate"])
    frame = labelled_reviews(settings, repository)
    gate = frame[frame["side"] == "gate"].reset_index(drop=True)
    dataset_version = current_dataset_version(repository)
    verdict = decide(
        [_contender(kind, models / kind, gate) for kind in present],
        _contender("champion", incumbent, gate) if incumbent else None,
        gate,
        required=_why_wanted(
            incumbent,
            dataset_version,
            live.model_version if live else None,
            forced=forced,
            on_gpu=settings.image_variant == "gpu",
        ),
        rules=rules,
    )
    if verdict.serves is None:
        raise PermanentFailure(f"no model may serve, and none did before: {verdict.reason}")
    serving = models / verdict.candidate if verdict.promote or incumbent is None else incumbent
    serves = artifact.read(serving, verify=False)
    forward = _forward(incumbent, frame, rules) if incumbent else None
    return {
        "model": serves.kind,
        "model_version": verdict.serves,
        "dataset_version": serves.trained_with.dataset_version,
        "judged_on": dataset_version,
        "candidate": verdict.candidate,
        "candidate_version": verdict.candidate_version,
        "against": verdict.champion_version,
        "promoted": verdict.promote,
        "reason": verdict.reason,
        "figures": verdict.record()["figures"],
        "forward": forward and {**forward, "model_version": verdict.champion_version},
        "candidates": dict(present),
        "run_id": run_id,
        "since": settings.now().isoformat() if verdict.promote else (read_record(models) or {}).get("since"),
    }


def _serving(settings: Settings, live: "Live | None") -> Path | None:
    """The folder of the live model where it is not the champion's; none where that is, or where it is not here."""
    from mlops_assets.training.champion import champion_folder

    champion = champion_folder(settings.models)
    if live is None or (champion is not None and artifact.model_version(champion) == live.model_version):
        return None
    folder = settings.releases / live.release_version / "model"
    known = (folder / artifact.MANIFEST).is_file() and artifact.model_version(folder) == live.model_version
    return folder if known else None


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


def _why_wanted(
    incumbent: Path | None, dataset_version: str, live_model: str | None, *, forced: bool, on_gpu: bool
) -> str | None:
    """Why a model that is only as good as the one chosen last would still be wanted."""
    if forced:
        return "forced"
    if incumbent is None:
        return None
    manifest = artifact.read(incumbent, verify=False)
    if manifest.trained_with.dataset_version != dataset_version:
        return "the data changed"
    if on_gpu and manifest.runtime.get("variant") == "int8":
        return "the model chosen last is int8, which a GPU does not take"
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
