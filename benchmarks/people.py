"""Reference apps: accuracy by the stars and by people's labels, with and without them, for each model and their blend.

python -m benchmarks.people [--only classic bert curve]

An app learns from its own reviews, and beside them from the other app's. The stars are those of the app's own gate and
test sides; people's labels are the positive and negative sentences of SmSA's validation side, from other domains. Each
text counts once.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.bert_accuracy import trained_answers
from benchmarks.classic import PINTU, labelled, replaced
from mlops_assets.params.models import BertRecipe, ClassicRecipe
from mlops_assets.params.reviews import ReferenceRules
from mlops_assets.training.blend import train as blend
from mlops_assets.training.classic import train as classic
from mlops_assets.training.judging import calibration, evaluate
from mlops_assets.training.references import JUDGED_ON, References

FOLDER = PINTU.parent
APPS = {"pintu": "gojek", "gojek": "pintu"}
"""App -> its reference app."""
NAMES = ("negative", "positive")
RULES = evaluate.Evaluation()
OWN_REVIEWS = (100, 200, 500, 1000, 2000, 5000)
"""Points of the learning curve."""
DRAWS = 2
"""Draws of own reviews at each point."""
NO_FOREST = ClassicRecipe(votes=(0.0,), trees=1)
"""For the learning curve: the logistic regression alone, in a quarter of the time."""

Answers = dict[str, np.ndarray]
"""Probabilities (n, labels) for `validation`, `stars` and `people`."""


def texts_of(app: str) -> dict[str, pd.DataFrame]:
    """The app's train and validation rows, and what models are asked: `stars` and `people`, each text once."""
    frame = labelled(FOLDER / f"{app}_reviews.csv")
    people = pd.read_csv(FOLDER / "smsa_valid.csv", keep_default_na=False).rename(columns={"text": "review_text"})
    asked = {"stars": frame[frame["side"].isin(JUDGED_ON)], "people": people[people["label"].isin(NAMES)]}
    return {
        "train": frame[frame["side"] == "train"],
        "validation": frame[frame["side"] == "validation"],
        **{name: rows[~_repeats(rows)] for name, rows in asked.items()},
    }


def references_of(app: str) -> References:
    """The newest train-side reviews of the app, as many as count by default, with the default weight."""
    rules = ReferenceRules()
    frame = labelled(FOLDER / f"{app}_reviews.csv").sort_values("review_date").tail(rules.reviews_per_app)
    return References(frame[frame["side"] == "train"], rules.own_weight)


def measured(kinds: tuple[str, ...]) -> dict[str, Any]:
    """Each app's models with and without the other app, by the stars and by people's labels."""
    found: dict[str, Any] = {}
    for app, other in APPS.items():
        texts, references = texts_of(app), references_of(other)
        given: dict[str, dict[str, Answers]] = {}
        for way, beside in (("alone", None), ("with_reference", references)):
            for kind in kinds:
                started = time.perf_counter()
                given.setdefault(kind, {})[way] = _TRAINED[kind](texts, beside)
                print(f"{app} {way} {kind}: {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
        if {"classic", "bert"} <= given.keys():
            given["blend"] = {way: _blend(texts, given["bert"][way], given["classic"][way]) for way in given["bert"]}
        found[app] = {"reference": other, "own": len(texts["train"]), "references": len(references.reviews)}
        found[app] |= {kind: _compared(texts, ways) for kind, ways in given.items()}
        recipe = _replaced(texts, None)
        found[app]["less_replaced_points"] = {
            kind: _points(texts, ways["with_reference"], recipe) for kind, ways in given.items()
        }
    return found


def curve() -> dict[str, Any]:
    """The logistic regression on growing numbers of own reviews, alone and with the other app: mean over draws."""
    found: dict[str, Any] = {}
    for app, other in APPS.items():
        texts, references = texts_of(app), references_of(other)
        points = []
        for rows in (size for size in OWN_REVIEWS if size <= len(texts["train"])):
            scores: dict[str, list[float]] = {}
            for seed in range(DRAWS):
                drawn = {**texts, "train": texts["train"].sample(rows, random_state=seed)}
                for way, beside in (("alone", None), ("with_reference", references)):
                    for name, right in _right(texts, _classic(drawn, beside, NO_FOREST)).items():
                        scores.setdefault(f"{name}_{way}", []).append(float(right.mean()))
            points.append({"own": rows, **{name: round(float(np.mean(of)), 4) for name, of in scores.items()}})
            print(app, points[-1], file=sys.stderr, flush=True)
        found[app] = {
            "n_stars": len(texts["stars"]),
            "n_people": len(texts["people"]),
            "draws": DRAWS,
            "points": points,
        }
    return found


def _classic(
    texts: Mapping[str, pd.DataFrame], references: References | None, recipe: ClassicRecipe | None = None
) -> Answers:
    rows, beside = references.beside(texts["train"], NAMES) if references else (texts["train"], None)
    vote = classic.fit(rows, texts["validation"], NAMES, recipe or ClassicRecipe(), lambda _: None, beside)
    return {name: vote.probabilities(_texts(texts[name])) for name in ("validation", "stars", "people")}


def _bert(texts: Mapping[str, pd.DataFrame], references: References | None) -> Answers:
    rows, beside = references.beside(texts["train"], NAMES) if references else (texts["train"], None)
    asked = ("validation", "stars", "people")
    held_out = pd.concat([texts[name][["review_text", "label"]] for name in asked])
    sides = {"train": rows, "validation": texts["validation"], "held_out": held_out}
    given = np.split(trained_answers(sides, BertRecipe(), beside), np.cumsum([len(texts[name]) for name in asked[:2]]))
    answers = dict(zip(asked, given, strict=True))
    temperature = calibration.fit_temperature(answers["validation"], _truth(texts["validation"]))
    return {name: calibration.apply_temperature(own, temperature) for name, own in answers.items()}


def _replaced(texts: Mapping[str, pd.DataFrame], references: References | None) -> Answers:
    del references  # it had none
    model = replaced(texts["train"], texts["validation"])
    return {name: model(_texts(texts[name])) for name in ("validation", "stars", "people")}


_TRAINED: Mapping[str, Callable[[Mapping[str, pd.DataFrame], References | None], Answers]] = {
    "classic": _classic,
    "bert": _bert,
}


def _blend(texts: Mapping[str, pd.DataFrame], bert: Answers, classic_: Answers) -> Answers:
    """Both models' log-odds, with the weight that validation chooses."""
    answers = {name: {"bert": bert[name], "classic": classic_[name]} for name in bert}
    chosen = blend.choose(texts["validation"], answers["validation"], NAMES)
    return {name: chosen.of(given) for name, given in answers.items()}


def _compared(texts: Mapping[str, pd.DataFrame], ways: Mapping[str, Answers]) -> dict[str, Any]:
    """Accuracy each way with its interval, and what the reference brings, paired."""
    figures: dict[str, Any] = {}
    for name in ("stars", "people"):
        for way, given in ways.items():
            scores = evaluate.scores(texts[name]["label"], given[name], NAMES, rules=RULES)
            figures.setdefault(name, {"n": scores["n"]})[way] = {
                "accuracy": scores["accuracy"],
                "interval": scores["accuracy_interval"],
            }
        figures[name]["reference_brings_points"] = _points(texts, ways["with_reference"], ways["alone"])[name]
    return figures


def _points(texts: Mapping[str, pd.DataFrame], first: Answers, second: Answers) -> dict[str, Any]:
    return {
        name: asdict(
            evaluate.difference(
                _truth(texts[name]), first[name], second[name], range(len(texts[name])), RULES, accuracy=True
            )
        )
        for name in ("stars", "people")
    }


def _right(texts: Mapping[str, pd.DataFrame], given: Answers) -> dict[str, np.ndarray]:
    return {name: given[name].argmax(axis=1) == _truth(texts[name]) for name in ("stars", "people")}


def _repeats(rows: pd.DataFrame) -> np.ndarray:
    return pd.Series(evaluate.text_keys(rows["review_text"])).duplicated().to_numpy()


def _texts(rows: pd.DataFrame) -> list[str]:
    return rows["review_text"].tolist()


def _truth(rows: pd.DataFrame) -> np.ndarray:
    return evaluate.indices(rows["label"], NAMES)


def main(arguments: list[str] | None = None) -> int:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.people", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=("classic", "bert", "curve"), default=["classic", "bert", "curve"])
    only = parser.parse_args(arguments).only
    figures: dict[str, Any] = {}
    if kinds := tuple(kind for kind in ("classic", "bert") if kind in only):
        figures["apps"] = measured(kinds)
    if "curve" in only:
        figures["curve"] = curve()
    print(json.dumps(figures, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
