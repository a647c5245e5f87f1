"""Which model serves: the candidates' answers to the gate side, the verdict, and the commit of what was decided."""

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_assets import artifact
from mlops_assets.artifact import Kind
from mlops_assets.failures import PermanentFailure
from mlops_assets.settings import Settings
from mlops_assets.steps.version import current_dataset_version, labelled_reviews
from mlops_assets.trained_on import TrainedOn
from mlops_assets.training.champion import METRICS
from mlops_assets.versioning.repository import VersionRepository

if TYPE_CHECKING:
    import pandas as pd

    from mlops_assets.deploy.service import Live
    from mlops_assets.training.judging.contender import Contender
    from mlops_assets.training.judging.evaluate import Evaluation
    from mlops_assets.training.judging.first_model import FirstModel

_TIMED_TEXTS = 30
_ASKED_OF_A_LABEL, _TELLING = 200, 10
"""Reviews of each label that a serving model is asked which answers the gate side alike, and the fewest that tell."""


def choose(
    settings: Settings, repository: VersionRepository, live: "Live | None", *, run_id: str, forced: bool
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
    repository: VersionRepository,
    live: "Live | None",
    present: Mapping[Kind, str],
    incumbent: Path | None,
    *,
    run_id: str,
    forced: bool,
) -> dict[str, Any]:
    """The decision between the candidates and the champion, as it is stored with the version."""
    from mlops_assets.training.champion import read_record
    from mlops_assets.training.judging.evaluate import Evaluation
    from mlops_assets.training.judging.gate import decide

    models = settings.models
    rules = Evaluation.from_params(settings.sections["evaluate"])
    frame = labelled_reviews(settings, repository)
    gate = frame[frame["side"] == "gate"].reset_index(drop=True)
    dataset_version = current_dataset_version(repository)
    contenders = [_contender(kind, models / kind, gate) for kind in present]
    champion = _contender("champion", incumbent, gate) if incumbent else None
    verdict = decide(
        contenders,
        champion,
        gate,
        required=_why_wanted(
            incumbent,
            dataset_version,
            live.model_version if live else None,
            forced=forced,
            on_gpu=settings.image_variant == "gpu",
        ),
        rules=rules,
        first=_first_model(settings, repository, frame, incumbent, champion, contenders),
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
        "trained_on": serves.trained_on.record(),
        "since": settings.now().isoformat() if verdict.promote else (read_record(models) or {}).get("since"),
    }


def _first_model(
    settings: Settings,
    repository: VersionRepository,
    frame: "pd.DataFrame",
    incumbent: Path | None,
    champion: "Contender | None",
    contenders: "Sequence[Contender]",
) -> "FirstModel":
    """Whether the serving model has a say, and what a first model is judged by where it has none.

    The classic recipe is cross-validated where that decides: on a small gate side, for a model without a rival.
    """
    from mlops_assets.training.judging.contender import CLASSIC
    from mlops_assets.training.judging.cross_validation import cross_validated
    from mlops_assets.training.judging.first_model import held_out
    from mlops_assets.training.recipe import ClassicRecipe

    say = _say(repository, frame, incumbent, champion)
    classic = next((each for each in contenders if each.name == CLASSIC), None)
    first = champion is None or say.no_say is not None or champion.labels != contenders[0].labels
    if classic is None or not first:
        return say
    gate = frame[frame["side"] == "gate"]
    if not held_out(classic.labels, gate, classic.probabilities, "").small:
        return say
    recipe = ClassicRecipe.from_params(settings.sections["classic"])
    return replace(say, cross_validated=cross_validated(frame, classic.labels, recipe))


def _say(
    repository: VersionRepository, frame: "pd.DataFrame", incumbent: Path | None, champion: "Contender | None"
) -> "FirstModel":
    """Whether the serving model has a say in what serves these reviews, and why not."""
    from mlops_assets.training.judging.first_model import FirstModel, without_say

    if incumbent is None or champion is None:
        return FirstModel(reviews=len(frame))
    manifest = artifact.read(incumbent, verify=False)
    serving, data = _trained_on(manifest, repository), TrainedOn.of(frame["app_id"], frame["source"])
    if data.generated and serving.apps and not serving.generated:
        told = f"it was trained on reviews of {', '.join(serving.apps)}, which no model of generated reviews replaces"
        return FirstModel(stays=told, reviews=len(frame))
    if found := without_say(serving, data):
        return FirstModel(no_say=found[0], same_app=found[1], reviews=len(frame))
    if _answers_all_alike(incumbent, champion, frame):
        return FirstModel(no_say="gives one answer to every review", reviews=len(frame))
    return FirstModel(reviews=len(frame))


def _trained_on(manifest: artifact.Manifest, repository: VersionRepository) -> TrainedOn:
    """What the model's folder says, or else what the branch knows of the data that it was trained on."""
    if manifest.trained_on.apps:
        return manifest.trained_on
    dataset_version = manifest.trained_with.dataset_version
    rows = next((one.rows for one in repository.versions() if one.dataset_version == dataset_version and one.rows), {})
    return TrainedOn.of(rows)


def _answers_all_alike(incumbent: Path, champion: "Contender", frame: "pd.DataFrame") -> bool:
    """Whether the serving model gives one label to reviews of every label, as a model that learned nothing does."""
    from mlops_assets.serving.models.model import load

    if len(set(champion.probabilities.argmax(axis=1).tolist())) > 1:
        return False
    asked = frame[frame["label"].isin(champion.labels)].drop_duplicates("review_text")
    asked = asked.groupby("label").head(_ASKED_OF_A_LABEL)
    if asked["label"].nunique() < 2 or asked.groupby("label").size().min() < _TELLING:
        return False
    answers = load(incumbent).probabilities(asked["review_text"].tolist())
    return len(set(answers.argmax(axis=1).tolist())) == 1


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
    from mlops_assets.serving.models.model import load
    from mlops_assets.training.judging.evaluate import arrived_since, forward

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
    from mlops_assets.serving.models.model import load
    from mlops_assets.training.golden import GOLDEN_SENTENCES
    from mlops_assets.training.judging.contender import Contender

    model = load(folder)
    texts = gate["review_text"].tolist()
    probabilities = model.probabilities(texts)
    times: list[float] = []
    # Always as many: with a handful of gate reviews one hiccup of the machine would be the median.
    for text in islice(cycle(texts or GOLDEN_SENTENCES), _TIMED_TEXTS):
        started = time.perf_counter()
        model.probabilities([text])
        times.append((time.perf_counter() - started) * 1000)
    return Contender(
        name=name,
        model_version=artifact.model_version(folder),
        labels=tuple(model.labels),
        probabilities=probabilities,
        milliseconds=statistics.median(times),
        megabytes=sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6,
    )
