"""Chooses the model that serves: judges the candidates, commits them with the decision, puts the winner in place."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_assets import artifact
from mlops_assets.artifact import METRICS_FILES
from mlops_assets.failures import PermanentFailure
from mlops_assets.settings import Settings
from mlops_assets.steps.deciding.anchor import find_anchor
from mlops_assets.steps.deciding.say import first_model
from mlops_assets.steps.preconditions import refuse_missing_upstream
from mlops_assets.steps.version import (
    chosen_reviews,
    current_dataset_version,
    labelled_counts,
    outline_of_version,
    split_of_model,
    version_files,
)
from mlops_assets.training import champion
from mlops_assets.training.champion import Decision
from mlops_assets.training.due import Due
from mlops_assets.versioning.repository import VersionRepository

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from mlops_assets.deploy.service import Live
    from mlops_assets.params.models import Evaluation


class NoModelMayServe(PermanentFailure):
    """No candidate passed, and no model served before."""


@dataclass(frozen=True)
class Choice:
    """The model that serves, whether this call decided it, and why it did or did not."""

    decision: Decision
    due: Due


def choose(
    settings: Settings,
    repository: VersionRepository,
    live: "Callable[[], Live | None]",
    *,
    run_id: str,
    forced: bool,
) -> Choice:
    """The last decision if it still holds, else a new one between the models that are there."""
    due = champion.champion_due(settings.models)
    if not due:
        return Choice(champion.last_decision(settings.models), due)
    refuse_missing_upstream("champion_model", settings, repository)
    return Choice(choose_anew(settings, repository, live(), run_id=run_id, forced=forced), due)


def choose_anew(
    settings: Settings, repository: VersionRepository, live: "Live | None", *, run_id: str, forced: bool
) -> Decision:
    """Judge the candidates, commit them with the decision and the card, put the best one under `models/champion`.

    The candidates are the trained models and, if both are there, their blend, which is made here.

    They are judged against the live model. After a rollback or a failed deployment that is not the champion; unless a
    candidate wins, the live model then becomes the champion again.

    The champion changes only after the commit. Killed anywhere, the next call finds the champion of before, and the
    decision on the branch if it got that far: the same candidates against the same champion are judged once.
    """
    from mlops_assets.training.card import model_card

    models = settings.models
    champion.undo_unrecorded(models)
    incumbent = _incumbent(settings, live)
    decision = _committed(repository, models, incumbent) or _decide(
        settings, repository, live.model_version if live else None, incumbent, run_id=run_id, forced=forced
    )
    serving = _serving(models, decision, incumbent)
    manifest = artifact.read(serving)
    card = model_card(
        manifest, decision.model_version, decision=decision, forward=None if decision.promoted else decision.forward
    )
    repository.stage_models(
        {kind: models / kind for kind in decision.candidates},
        metrics={METRICS_FILES[kind]: models / METRICS_FILES[kind] for kind in decision.candidates},
    )
    version = repository.commit_models(
        run_id,
        f"Models on data {decision.judged_on}: {manifest.kind} serves",
        str(decision.judged_on),
        champion=decision.model_version,
        decision=decision.record_to_commit(),
        card=card,
    )
    if serving != models / "champion":
        champion.put_in_place(serving, models)
    decision = replace(
        decision, models_trained=version.changed, commit=version.commit, origin=version.origin, run_id=run_id
    )
    (models / "champion.md").write_text(card, encoding="utf-8")
    champion.write_decision(models, decision)
    champion.drop_previous(models)
    return decision


def judge_candidates(
    settings: Settings, repository: VersionRepository, live: "Live | None", *, run_id: str
) -> Decision:
    """The decision between the models that are there and the one that serves. Nothing is committed or put in place.

    Where nothing serves, as in CI, the model chosen last is judged as if it did. Raises `NoModelMayServe`.
    """
    incumbent = _incumbent(settings, live)
    serving = live.model_version if live else incumbent and artifact.model_version(incumbent)
    return _decide(settings, repository, serving, incumbent, run_id=run_id, forced=False)


def _incumbent(settings: Settings, live: "Live | None") -> Path | None:
    """The folder of the model that serves; None before the first."""
    return _other_live_model(settings, live) or champion.champion_folder(settings.models)


def _committed(repository: VersionRepository, models: Path, incumbent: Path | None) -> Decision | None:
    """The decision on the branch, if it was between the same models."""
    if not (record := repository.decision()):
        return None
    decision = Decision.of(record)
    against = artifact.model_version(incumbent) if incumbent else None
    same = (decision.candidates, decision.against) == (champion.candidates(models), against)
    return decision if same else None


def _serving(models: Path, decision: Decision, incumbent: Path | None) -> Path:
    return models / str(decision.candidate) if decision.promoted or incumbent is None else incumbent


def _decide(
    settings: Settings,
    repository: VersionRepository,
    live_model: str | None,
    incumbent: Path | None,
    *,
    run_id: str,
    forced: bool,
) -> Decision:
    """The decision between the candidates and the model that serves."""
    from mlops_assets.params.models import Evaluation
    from mlops_assets.params.reviews import ValidationOptions
    from mlops_assets.reviews.quality.language import with_languages
    from mlops_assets.reviews.stored.split import gate_texts, held_out_of_all
    from mlops_assets.serving.models.model import load
    from mlops_assets.training.blend.train import bring_blend
    from mlops_assets.training.budget import with_held_out
    from mlops_assets.training.judging.contender import contender
    from mlops_assets.training.judging.gate import decide
    from mlops_assets.training.judging.people import texts_of_people

    models, rules = settings.models, settings.section(Evaluation)
    counts, outlined = labelled_counts(settings, repository), outline_of_version(settings, repository)
    labelled, training_data = outlined[outlined["label"].notna()], counts.training_data
    held_out = with_held_out(labelled[labelled["side"] != "train"], rules.most_texts)
    frame = chosen_reviews(held_out, repository)
    frame = with_languages(frame, settings.section(ValidationOptions).language)
    no_blend = bring_blend(
        models,
        settings.instance_folder / "training" / "blend",
        frame,
        training_data=training_data,
        run_id=run_id,
        trained_at=settings.now().isoformat(),
        load=load,
        rules=rules,
    )
    present = champion.candidates(models)
    judged = [*(models / kind for kind in present), *([incumbent] if incumbent else [])]
    splits = {split_of_model(settings, folder) for folder in judged}
    gate = gate_texts(frame, splits)
    dataset_version = current_dataset_version(repository)
    people = texts_of_people(held_out_of_all(frame, splits))
    contenders = [contender(kind, models / kind, gate, people=people) for kind in present]
    defender = contender("champion", incumbent, gate, people=people) if incumbent else None
    verdict = decide(
        contenders,
        defender,
        gate,
        required=_why_wanted(
            incumbent,
            training_data,
            live_model,
            forced=forced,
            on_gpu=settings.image_variant == "gpu",
        ),
        rules=rules,
        first=first_model(settings, repository, counts, gate, incumbent, defender, contenders),
        anchor=find_anchor(settings, repository, gate, defender) if defender else None,
    )
    if verdict.serves is None:
        raise NoModelMayServe(f"no model may serve, and none did before: {verdict.reason}")
    decision = Decision(
        model_version=verdict.serves,
        promoted=verdict.promote,
        reason=f"{verdict.reason}; no blend: {no_blend}" if no_blend else verdict.reason,
        basis=verdict.basis,
        run_id=run_id,
        judged_on=dataset_version,
        candidate=verdict.candidate,
        candidate_version=verdict.candidate_version,
        against=verdict.champion_version,
        figures=verdict.figures,
        forward=_forward(incumbent, labelled, repository, rules) if incumbent else None,
        comparison=_comparison(repository, incumbent, models / verdict.candidate)
        if verdict.promote and incumbent
        else None,
        candidates=present,
    )
    manifest = artifact.read(_serving(models, decision, incumbent), verify=False)
    before = champion.read_decision(models)
    return replace(
        decision,
        model=manifest.kind,
        dataset_version=manifest.trained_with.dataset_version,
        trained_on=manifest.trained_on.record(),
        since=settings.now().isoformat() if verdict.promote else before and before.since,
    )


def _other_live_model(settings: Settings, live: "Live | None") -> Path | None:
    """The live model's folder if it differs from the champion's and its release is here, else None."""
    chosen = champion.champion_folder(settings.models)
    if live is None or (chosen is not None and artifact.model_version(chosen) == live.model_version):
        return None
    folder = settings.releases / live.release_version / "model"
    known = (folder / artifact.MANIFEST).is_file() and artifact.model_version(folder) == live.model_version
    return folder if known else None


def _forward(
    incumbent: Path, labelled: "pd.DataFrame", repository: VersionRepository, rules: "Evaluation"
) -> dict[str, Any] | None:
    """Scores of the serving model on the reviews that arrived after its data; None if there are none. Of the rows
    `labelled` those of earlier months are not read.
    """
    from mlops_assets.serving.models.model import load
    from mlops_assets.training.judging.evaluate import arrived_since, forward

    metrics = artifact.read(incumbent, verify=False).metrics
    newest = metrics.get("data", {}).get("newest_review")
    late = labelled[labelled["month"].astype("str") >= newest[:7]] if newest else labelled.iloc[:0]
    arrived = arrived_since(chosen_reviews(late, repository), metrics)
    model = load(incumbent)
    arrived = arrived[arrived["label"].isin(model.labels)]
    if arrived.empty:
        return None
    scores = forward(arrived, model.probabilities(arrived["review_text"].tolist()), model.labels, rules)
    return {**scores, "model_version": artifact.model_version(incumbent)}


def _comparison(repository: VersionRepository, old: Path, new: Path) -> dict[str, Any]:
    """What clients will notice of the switch."""
    from mlops_assets.reviews.stored.usable import read_newest
    from mlops_assets.serving.models.model import load
    from mlops_assets.training.judging.comparison import NEWEST, compare, newest_texts

    return compare(load(old), load(new), newest_texts(read_newest(version_files(repository), NEWEST)))


def _why_wanted(
    incumbent: Path | None, training_data: str, live_model: str | None, *, forced: bool, on_gpu: bool
) -> str | None:
    """Why a model that is only as good as the one chosen last would still be wanted."""
    if forced:
        return "forced"
    if incumbent is None:
        return None
    manifest = artifact.read(incumbent, verify=False)
    if manifest.trained_with.training_data != training_data:
        return "the data changed"
    if on_gpu and manifest.runtime.get("variant") == "int8":
        return "the model chosen last is int8, which a GPU does not take"
    chosen = artifact.model_version(incumbent)
    return None if live_model == chosen else f"model {chosen}, which was chosen last, does not serve"
