"""Makes a blend of the BERT and the classic model that were trained: no training, only a weight and a temperature.

bert/, classic/   both members as they were sealed, without what only training reads
"""

import hashlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from mlops_assets import artifact
from mlops_assets.artifact import MEMBERS, METRICS_FILES, Golden, Kind, Manifest
from mlops_assets.code_version import code_version
from mlops_assets.failures import PermanentFailure
from mlops_assets.params.models import Evaluation
from mlops_assets.serving.models.blend import blended
from mlops_assets.training.champion import candidates
from mlops_assets.training.judging import calibration, evaluate, people
from mlops_assets.training.metrics import Metrics
from mlops_assets.training.trained import GOLDEN_SENTENCES, Trained

WEIGHTS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""BERT's weights to try. Neither member has all of it: that would be this member alone, at the price of both."""
EVEN = 0.5
WITHIN = 1e-4
"""How far the sealed blend may be from its members' answers: batches of other shapes round otherwise."""
VERIFIED_TEXTS = 300


class BlendDiffers(PermanentFailure):
    """The sealed blend does not answer as its members do."""


class Answers(Protocol):
    """A loaded model, as the server loads it."""

    def probabilities(self, texts: Sequence[str], /) -> np.ndarray: ...


Load = Callable[[Path], Answers]


@dataclass(frozen=True)
class Chosen:
    """BERT's weight and the temperature of the least log loss over `n` distinct validation texts."""

    bert_weight: float
    temperature: float
    n: int

    def of(self, answers: Mapping[str, np.ndarray]) -> np.ndarray:
        """The blend's probabilities (n, labels) of its members'."""
        return blended(answers["bert"], answers["classic"], self.bert_weight, self.temperature)


def bring_blend(
    models: Path,
    scratch: Path,
    frame: pd.DataFrame,
    *,
    training_data: str,
    run_id: str,
    trained_at: str,
    load: Load,
    rules: Evaluation | None = None,
) -> str | None:
    """Make `models/blend` out of the two models below `models`; why they cannot be blended, else None.

    `frame` holds the labelled reviews of the held-out sides, `training_data` is the digest of all. A blend of these
    models that is whole stays. One of other models goes, also if one of the two models is missing. Its metrics go first
    and it is put in place whole.
    """
    folder, metrics = models / "blend", models / METRICS_FILES["blend"]
    present = candidates(models)
    if "blend" in present and artifact.is_whole(folder):
        return None
    metrics.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    if not set(MEMBERS) <= present.keys():
        return None
    bert, classic = (artifact.read(models / member) for member in MEMBERS)
    if reason := _why_not(bert, classic, training_data):
        return reason
    shutil.rmtree(scratch, ignore_errors=True)
    made = make_blend(models, scratch, frame, run_id=run_id, load=load, rules=rules)
    scratch.replace(folder)
    Metrics.of({**made.metrics, "trained_at": trained_at}).write(metrics)
    return None


def make_blend(
    models: Path,
    folder: Path,
    frame: pd.DataFrame,
    *,
    run_id: str,
    load: Load,
    rules: Evaluation | None = None,
) -> Trained:
    """Copy both members from `models` into the new `folder`, choose on validation, measure, seal and verify."""
    rules = rules or Evaluation()
    manifests: dict[Kind, Manifest] = {}
    for member in MEMBERS:
        manifests[member] = artifact.read(models / member, verify=False)
        left_out = shutil.ignore_patterns(*manifests[member].training_files)
        shutil.copytree(models / member, folder / member, ignore=left_out)
    names = manifests["classic"].labels
    held_out = frame[frame["side"].isin(evaluate.HELD_OUT)].reset_index(drop=True)
    row_of, texts = pd.factorize(held_out["review_text"])
    asked = [*GOLDEN_SENTENCES, *texts]
    given = {member: load(folder / member).probabilities(asked) for member in MEMBERS}
    held: dict[str, np.ndarray] = {member: own[len(GOLDEN_SENTENCES) :][row_of] for member, own in given.items()}
    chosen = choose(held_out, held, names)
    blend = chosen.of(held)
    trained_with = replace(
        manifests["classic"].trained_with,
        recipe=hashlib.sha256("".join(each.trained_with.recipe for each in manifests.values()).encode()).hexdigest()[
            :12
        ],
        code=code_version(__name__),
    )
    metrics = {
        "model": "blend",
        "base_model": manifests["bert"].metrics.get("base_model"),
        "base_licence": manifests["bert"].metrics.get("base_licence"),
        "dataset_version": trained_with.dataset_version,
        "code_version": trained_with.code,
        **evaluate.judged(held_out, blend, names, rules),
        "people": people.score_by_people(held_out, blend, names, rules),
        "members": _members(held_out, {**held, "blend": blend}, names, chosen, rules),
        "chosen": {**asdict(chosen), "by": "log loss on validation, each text once"},
        "data": manifests["classic"].metrics.get("data", {}),
    }
    answers = chosen.of(given)
    golden = answers[: len(GOLDEN_SENTENCES)].round(6).tolist()
    version = artifact.seal(
        folder,
        kind="blend",
        labels=names,
        text_version=manifests["classic"].text_version,
        trained_with=trained_with,
        metrics=metrics,
        golden=[Golden(text, tuple(row)) for text, row in zip(GOLDEN_SENTENCES, golden, strict=True)],
        runtime={
            "bert_weight": chosen.bert_weight,
            "temperature": chosen.temperature,
            "variant": manifests["bert"].runtime.get("variant"),
            "members": {member: artifact.model_version(folder / member) for member in MEMBERS},
        },
    )
    again = load(folder).probabilities(asked[:VERIFIED_TEXTS])
    if not (moved := float(np.abs(again - answers[:VERIFIED_TEXTS]).max())) <= WITHIN:
        (folder / artifact.MANIFEST).unlink()
        raise BlendDiffers(
            f"the blend differs from its members' answers by {moved:.2g}, {WITHIN:g} is allowed: "
            "training/blend/train.py and serving/models/blend.py do not agree"
        )
    return Trained(version, {**metrics, "run_id": run_id, "model_version": version})


def choose(held_out: pd.DataFrame, answers: Mapping[str, np.ndarray], names: Sequence[str]) -> Chosen:
    """The weight and the temperature for validation, where each text counts once.

    With too few texts to choose by, both members count alike at the temperatures that they have.
    """
    rows = _each_text_once(held_out, "validation")
    truth = evaluate.indices(held_out["label"].iloc[rows], names)
    if len(truth) < calibration.LEAST_ROWS:
        return Chosen(EVEN, 1.0, len(truth))
    own = {member: given[rows] for member, given in answers.items()}
    tried: list[tuple[float, Chosen]] = []
    for weight in WEIGHTS:
        mixed = Chosen(weight, 1.0, len(truth))
        calibrated = replace(mixed, temperature=calibration.fit_temperature(mixed.of(own), truth))
        tried.append((calibration.log_loss(calibrated.of(own), truth), calibrated))
    return min(tried, key=lambda each: each[0])[1]


def _why_not(bert: Manifest, classic: Manifest, training_data: str) -> str | None:
    """Why these two cannot be blended, else None."""
    if bert.labels != classic.labels:
        return f"bert answers {', '.join(bert.labels)}, classic {', '.join(classic.labels)}"
    if bert.text_version != classic.text_version:
        return f"bert reads texts by version {bert.text_version}, classic by version {classic.text_version}"
    for kind, manifest in (("bert", bert), ("classic", classic)):
        if manifest.trained_with.training_data != training_data:
            return f"{kind} was trained on other reviews than those that models are judged on"
    return None


def _each_text_once(held_out: pd.DataFrame, *sides: str) -> np.ndarray:
    """The places of one row for each distinct text of these sides."""
    own = np.flatnonzero(held_out["side"].isin(sides))
    return own[evaluate.one_row_a_text(held_out.iloc[own].reset_index(drop=True))]


def _members(
    held_out: pd.DataFrame,
    answers: Mapping[str, np.ndarray],
    names: Sequence[str],
    chosen: Chosen,
    rules: Evaluation,
) -> dict[str, Any]:
    """What each member and the blend reach on test, and what the blend brings over the better member.

    Which member is the better one is taken from validation; what it brings is measured on the texts of gate and test.
    """
    texts = evaluate.text_keys(held_out["review_text"])
    on_test = _each_text_once(held_out, "test")
    figures = {
        name: evaluate.brief(evaluate.scores(held_out["label"].iloc[on_test], given[on_test], names, rules=rules))
        for name, given in answers.items()
    }
    better = _better(held_out, answers, names)
    measured = _each_text_once(held_out, "gate", "test")
    if not len(measured):
        return {"test": figures, "said": "No review was held out to show what the blend brings."}
    brings = evaluate.difference(
        evaluate.indices(held_out["label"].iloc[measured], names),
        answers["blend"][measured],
        answers[better][measured],
        texts[measured].tolist(),
        rules,
        accuracy=True,
    )
    said = (
        f"Of the log-odds, {chosen.bert_weight:.0%} are BERT's. Over {better}, the better member on validation, the "
        f"blend brings {brings} of accuracy on the texts of gate and test."
    )
    return {"test": figures, "brings": {**asdict(brings), "over": better, "on": "gate and test"}, "said": said}


def _better(held_out: pd.DataFrame, answers: Mapping[str, np.ndarray], names: Sequence[str]) -> Kind:
    """The member of the lower log loss on validation; the classic model without validation reviews."""
    rows = _each_text_once(held_out, "validation")
    truth = evaluate.indices(held_out["label"].iloc[rows], names)
    if not len(truth):
        return "classic"
    return min(reversed(MEMBERS), key=lambda member: calibration.log_loss(answers[member][rows], truth))
