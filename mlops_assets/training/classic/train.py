"""Trains the classic model: word and character TF-IDF, logistic regression and a bounded forest in a soft vote."""

import dataclasses
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from mlops_assets import artifact
from mlops_assets.artifact import Golden, TrainedWith
from mlops_assets.failures import PermanentFailure
from mlops_assets.files import sync
from mlops_assets.params.models import ClassicRecipe, Evaluation
from mlops_assets.text import TEXT_VERSION
from mlops_assets.training.classic import features as classic_features
from mlops_assets.training.classic import forest
from mlops_assets.training.classic import report as classic_report
from mlops_assets.training.classic.features import Features
from mlops_assets.training.classic.report import ForestBrings
from mlops_assets.training.judging import calibration, evaluate, people
from mlops_assets.training.references import References, Weights
from mlops_assets.training.trained import GOLDEN_SENTENCES, Trained

MOST_DIFFERENCE = 1e-6
"""How far the exported model may differ from scikit-learn's in any probability (1e-4 in single precision)."""

VERIFIED_REVIEWS = 2000

TOGETHER = 20_000
"""Held-out texts that are answered at a time: their n-grams take about 3 kB each."""

MOST_ALONE = 100_000
"""With more own reviews than this to train on, the model without references is not trained to compare with."""


class ExportDiffers(PermanentFailure):
    """The exported model does not answer as the one that was trained."""


class Answers(Protocol):
    """A loaded model, as the server loads it."""

    def probabilities(self, texts: Sequence[str], /) -> np.ndarray: ...


@dataclass(frozen=True)
class Mix:
    """A logistic regression of some strength, with the forest beside it by some share, calibrated."""

    logistic: Any
    strength: float
    forest_share: float
    temperature: float

    def of(self, weights: Any, from_trees: np.ndarray) -> np.ndarray:
        """Probabilities (n, labels) of TF-IDF weights and the forest's answers."""
        mixed = _mixed(self.logistic.predict_proba(weights), from_trees, self.forest_share)
        return calibration.apply_temperature(mixed, self.temperature)


@dataclass(frozen=True)
class Vote:
    """The fitted members, what each is worth alone and together, and which of it was taken."""

    features: Features
    trees: Any
    mixes: Mapping[str, Mix]
    """`logistic`: as good as it gets without the forest; `vote`: with it. Each has its own strength."""
    taken: str
    brings: ForestBrings | None
    """The evidence; None with too few validation reviews."""

    @property
    def mix(self) -> Mix:
        return self.mixes[self.taken]

    def members(self, texts: Sequence[str]) -> dict[str, np.ndarray]:
        """Probabilities (n, labels) of the logistic regression alone, the forest alone, and the vote of both."""
        none = dict.fromkeys((*self.mixes, "forest"), np.zeros((0, self.trees.n_classes_)))
        parts = [self._answers(texts[start : start + TOGETHER]) for start in range(0, len(texts), TOGETHER)]
        return {name: np.concatenate([part[name] for part in parts]) for name in none} if parts else none

    def _answers(self, texts: Sequence[str]) -> dict[str, np.ndarray]:
        matrix = self.features.of(texts)
        from_trees, weights = self.trees.predict_proba(matrix.presence), matrix.weights
        return {name: mix.of(weights, from_trees) for name, mix in self.mixes.items()} | {"forest": from_trees}

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """The answers (n, labels) of what was taken."""
        return self.members(texts)[self.taken]


def train_classic(  # noqa: PLR0913 - what a training takes; each is a different thing
    frame: pd.DataFrame,
    recipe: ClassicRecipe,
    folder: Path,
    *,
    trained_with: TrainedWith,
    run_id: str,
    report: Callable[[str], None],
    load: Callable[[Path], Answers],
    rules: Evaluation | None = None,
    references: References | None = None,
    budget: Mapping[str, Any] | None = None,
) -> Trained:
    """Train on the train side, choose and calibrate on validation, measure, seal into the empty `folder`, verify.

    `references` are learned from too, and a second model, without them, shows what they bring. `budget` says for the
    metrics which reviews were left out before.

    `load` reads the sealed folder as the server will; its answers must be scikit-learn's. If they are not, or
    anything else fails, the folder holds no manifest and so no model.
    """
    started = time.monotonic()
    rules = rules or Evaluation()
    if folder.exists() and any(folder.iterdir()):
        raise PermanentFailure(f"{folder} is not empty: a model is written into an empty folder")
    names = evaluate.label_names(frame)
    frame = frame.assign(review_text=frame["review_text"].astype(object))
    train = frame[frame["side"] == "train"]
    held_out = frame[frame["side"] != "train"].reset_index(drop=True)
    report(f"classic: {len(train)} reviews to train on, {len(held_out)} held out")
    validation = held_out[held_out["side"] == "validation"]
    if references:
        report(f"classic: {len(references.reviews)} reviews of reference apps, own ones count {references.own_weight}")
        both, beside = references.beside(train, names)
        vote = fit(both, validation, names, recipe, report, beside)
    else:
        vote = fit(train, validation, names, recipe, report)
    report(f"classic: fitted in {time.monotonic() - started:.1f} s, measuring")
    members = vote.members(held_out["review_text"].tolist())
    once = evaluate.one_row_a_text(held_out)
    texts = held_out.iloc[once]
    alone, from_references = vote, dict[str, Any]()
    if references is not None:
        if references and len(train) <= MOST_ALONE:
            alone = fit(train, validation, names, recipe, lambda _: None)
        from_references = references.figures(
            held_out, members[vote.taken], None if alone is vote else alone.probabilities, names, rules
        )
    metrics = {
        "model": "classic",
        "dataset_version": trained_with.dataset_version,
        "code_version": trained_with.code,
        **evaluate.judged(held_out, members[vote.taken], names, rules),
        "people": people.score_by_people(held_out, members[vote.taken], names, rules),
        "members": classic_report.members(
            texts, names, {name: given[once] for name, given in members.items()}, vote.taken, vote.brings, rules
        ),
        "learning_curve": classic_report.learning_curve(
            train,
            texts[texts["side"] == "test"],
            names,
            lambda weights, truth: logistic(weights, truth, alone.mix.strength).predict_proba,
            lambda texts: alone.features.of(texts).weights,
            recipe,
            rules,
        ),
        "chosen": {
            "strength": vote.mix.strength,
            "forest_share": vote.mix.forest_share,
            "temperature": vote.mix.temperature,
            "by": "log loss on validation",
        },
        "data": evaluate.data_figures(frame),
        **from_references,
        **({"budget": budget} if budget else {}),
    }
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder, vote)
    golden = vote.probabilities(GOLDEN_SENTENCES)
    version = artifact.seal(
        folder,
        kind="classic",
        labels=names,
        text_version=TEXT_VERSION,
        trained_with=trained_with,
        metrics=metrics,
        golden=[Golden(text, tuple(row)) for text, row in zip(GOLDEN_SENTENCES, golden.tolist(), strict=True)],
        runtime={
            "temperature": vote.mix.temperature,
            "forest_share": vote.mix.forest_share,
            "word_longest": recipe.word_longest,
            "char_shortest": recipe.char_shortest,
            "char_longest": recipe.char_longest,
        },
    )
    _verify(folder, load, vote, held_out["review_text"].tolist())
    report(f"classic: sealed and verified as {version} after {time.monotonic() - started:.1f} s")
    return Trained(version, {**metrics, "run_id": run_id, "model_version": version})


def fit(
    train: pd.DataFrame,
    validation: pd.DataFrame,
    names: Sequence[str],
    recipe: ClassicRecipe,
    report: Callable[[str], None],
    beside: Weights | None = None,
) -> Vote:
    """Both members fitted on `train`; strength, the forest's share and the temperature chosen on `validation`.

    `beside` says how much each row of `train` counts if reference apps are among them. The forest has a vote only if it
    lowers the log loss on validation beyond noise, against the logistic regression at the strength that is best for it
    alone. Without enough validation reviews to choose by, the middle strength stands and the forest has none.
    """
    truth = evaluate.indices(train["label"], names)
    features, matrix = classic_features.fit(train["review_text"].tolist(), recipe)
    report(f"classic: {matrix.words.shape[1]} word and {matrix.chars.shape[1]} character n-grams")
    weights, presence = matrix.weights, matrix.presence
    del matrix  # Of half a million reviews it takes 600 MB beside the two.
    weighed = beside and beside.own_kept
    trees = forest.grow(presence, truth, recipe, beside and beside.balanced)
    del presence
    report(f"classic: {recipe.trees} trees grown")
    asked = features.of(validation["review_text"].tolist())
    right = evaluate.indices(validation["label"], names)
    shares = [share for share in recipe.votes if share > 0]
    choices = {"logistic": (_middle(recipe.strengths), 0.0)}
    if shares:
        choices["vote"] = (_middle(recipe.strengths), _middle(shares))
    fitted: dict[float, Any] = {}
    from_trees, brings = np.zeros((0, len(names))), None
    if len(right):
        from_trees = trees.predict_proba(asked.presence)
    if len(right) >= calibration.LEAST_ROWS:
        searched = np.arange(len(truth))
        if len(truth) > recipe.search_reviews:
            searched = np.random.default_rng(recipe.seed).choice(len(truth), recipe.search_reviews, replace=False)
        drawn = None if weighed is None else weighed[searched]
        tried = {value: logistic(weights[searched], truth[searched], value, drawn) for value in recipe.strengths}
        losses = {
            (value, share): _calibrated_losses(_mixed(model.predict_proba(asked.weights), from_trees, share), right)
            for value, model in tried.items()
            for share in (0.0, *shares)
        }
        best = sorted(losses, key=lambda choice: losses[choice].mean())
        choices["logistic"] = next(choice for choice in best if choice[1] == 0)
        if shares:
            choices["vote"] = next(choice for choice in best if choice[1] > 0)
            brings = classic_report.forest_brings(
                losses[choices["logistic"]],
                losses[choices["vote"]],
                evaluate.text_keys(validation["review_text"]).tolist(),
                share=choices["vote"][1],
            )
            report(f"classic: {brings}")
        fitted = tried if len(searched) == len(truth) else {}
    taken = "logistic"
    if shares and (0 not in recipe.votes or (brings and brings.earns_its_place)):
        taken = "vote"
    mixes = {}
    for name, (strength, share) in choices.items():
        if strength not in fitted:
            fitted[strength] = logistic(weights, truth, strength, weighed)
        uncalibrated = Mix(fitted[strength], strength, share, temperature=1.0)
        temperature = 1.0
        if len(right):
            temperature = calibration.fit_temperature(uncalibrated.of(asked.weights, from_trees), right)
        mixes[name] = dataclasses.replace(uncalibrated, temperature=temperature)
    report(f"classic: strength {mixes[taken].strength:g}, forest's share {mixes[taken].forest_share:g}")
    return Vote(features, trees, mixes, taken, brings)


def logistic(weights: Any, truth: np.ndarray, strength: float, weighed: np.ndarray | None = None) -> Any:
    """A fitted logistic regression in which all labels weigh alike. With reviews of several apps, which have a weight
    (n,), n-grams are held back by how little they tell.
    """
    from scipy.sparse import diags_array
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    # lbfgs spends its time in sparse products of one thread; BLAS threads spinning beside it, with another process on
    # the same cores, made the fit ten times slower.
    with threadpool_limits(1):
        if weighed is None:
            return LogisticRegression(C=strength, class_weight="balanced", max_iter=1000).fit(weights, truth)
        of_label = np.bincount(truth, weighed)
        balanced = weighed * len(truth) / (np.count_nonzero(of_label) * of_label[truth])
        telling = classic_features.telling(weights, truth, balanced)
        fitted = LogisticRegression(C=strength, max_iter=1000)
        fitted.fit(weights @ diags_array(telling, format="csr"), truth, sample_weight=balanced)
        fitted.coef_ = fitted.coef_ * telling
        return fitted


def _mixed(logistic: np.ndarray, trees: np.ndarray, share: float) -> np.ndarray:
    return (1 - share) * logistic + share * trees


def _middle(values: Sequence[float]) -> float:
    return values[len(values) // 2]


def _calibrated_losses(probabilities: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Log loss of each answer (n,) at the best temperature: a vote is less sure than its members by itself."""
    temperature = calibration.fit_temperature(probabilities, truth)
    return calibration.log_losses(calibration.apply_temperature(probabilities, temperature), truth)


def _write(folder: Path, vote: Vote) -> None:
    names = len(vote.trees.classes_)
    terms = {
        "word": vote.features.words.get_feature_names_out().tolist(),
        "char": vote.features.chars.get_feature_names_out().tolist(),
    }
    (folder / "vocabulary.json").write_text(json.dumps(terms, ensure_ascii=False), encoding="utf-8")
    arrays: dict[str, Any] = {
        "word_idf": vote.features.words.idf_.astype(np.float64),
        "char_idf": vote.features.chars.idf_.astype(np.float64),
        "coefficients": vote.mix.logistic.coef_,
        "intercept": vote.mix.logistic.intercept_,
        **forest.arrays(vote.trees.estimators_ if vote.mix.forest_share else [], len(terms["word"]), names),
    }
    np.savez_compressed(folder / "weights.npz", **arrays)
    for name in ("vocabulary.json", "weights.npz"):
        sync(folder / name)


def _verify(folder: Path, load: Callable[[Path], Answers], vote: Vote, texts: Sequence[str]) -> None:
    """Take the manifest away and raise `ExportDiffers` unless the sealed folder answers as scikit-learn does."""
    asked = [*GOLDEN_SENTENCES, *texts[:VERIFIED_REVIEWS]]
    expected = vote.probabilities(asked)
    allowed = MOST_DIFFERENCE if vote.features.words.idf_.dtype == np.float64 else 1e-4
    try:
        worst = float(np.abs(load(folder).probabilities(asked) - expected).max())
    except BaseException:
        (folder / artifact.MANIFEST).unlink()
        raise
    if not worst <= allowed:
        (folder / artifact.MANIFEST).unlink()
        raise ExportDiffers(
            f"the exported classic model differs from scikit-learn's by {worst:.2g}, {allowed:g} is allowed: "
            "training/classic/train.py and serving/models/classic.py do not agree"
        )
