"""The classic model against the recipe it replaced: accuracy by four protocols, fitting time, and scale.

python -m benchmarks.classic [--reviews FILE] [--only NAME …] [--scale-rows N]
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mlops_assets.params.models import ClassicRecipe
from mlops_assets.reviews.files.files import read_reviews
from mlops_assets.reviews.stored.label import add_labels
from mlops_assets.reviews.stored.split import add_sides
from mlops_assets.text import normalise, text_digest
from mlops_assets.training.classic import train as classic
from mlops_assets.training.judging import bootstrap, evaluate

PINTU = Path(__file__).parents[2] / "shared" / "data" / "pintu_reviews.csv"
NAMES = ("negative", "positive")
PUBLISHED_CLASSIC, PUBLISHED_BERT = 0.8105, 0.8409
"""What the replaced project published for its classic model and for IndoBERT, on nearly the protocol below."""

Fit = Callable[[pd.DataFrame, pd.DataFrame], Callable[[list[str]], np.ndarray]]
"""Train and validation rows -> a function from texts to probabilities (n, labels)."""


def labelled(path: Path = PINTU) -> pd.DataFrame:
    """The reviews of a file with other than 3 stars, with label and side."""
    frame = read_reviews(path).frame
    return add_sides(add_labels(frame[frame["review_text"].notna()], "binary")).reset_index(drop=True)


def replaced(train: pd.DataFrame, validation: pd.DataFrame) -> Callable[[list[str]], np.ndarray]:
    """The replaced recipe: TF-IDF of 1 to 3 words, 20,000 features, LR with C=3, saga, 5,000 iterations, balanced."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    del validation  # it chose nothing
    model = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 3), max_features=20_000),
        LogisticRegression(C=3, solver="saga", max_iter=5000, class_weight="balanced", random_state=42),
    )
    return model.fit(train["review_text"].tolist(), evaluate.indices(train["label"], NAMES)).predict_proba


def ours(train: pd.DataFrame, validation: pd.DataFrame) -> Callable[[list[str]], np.ndarray]:
    """The project's classic model as it is trained in the pipeline."""
    return classic.fit(train, validation, NAMES, ClassicRecipe(), lambda _: None).probabilities


def cross_validation(path: Path = PINTU, repeats: int = 5) -> dict[str, Any]:
    """Repeated five-fold cross-validation on the train side, texts never on two sides; paired, corrected interval.

    The interval of the mean difference is Nadeau and Bengio's for overlapping training sets.
    """
    from scipy.stats import t
    from sklearn.model_selection import StratifiedGroupKFold

    frame = labelled(path)
    train, validation = frame[frame["side"] == "train"], frame[frame["side"] == "validation"]
    groups = evaluate.text_keys(train["review_text"])
    results: dict[str, list[tuple[float, float]]] = {
        name: [] for name in ("replaced", "ours", "logistic", "forest", "vote")
    }
    for seed in range(repeats):
        folds = StratifiedGroupKFold(5, shuffle=True, random_state=seed)
        for known, asked in folds.split(train, train["label"], groups):
            test = train.iloc[asked]
            texts = test["review_text"].tolist()
            vote = classic.fit(train.iloc[known], validation, NAMES, ClassicRecipe(), lambda _: None)
            members = vote.members(texts)
            answers = {
                "replaced": replaced(train.iloc[known], validation)(texts),
                "ours": members[vote.taken],
                **members,
            }
            for name, given in answers.items():
                counts = evaluate.confusion(evaluate.indices(test["label"], NAMES), given.argmax(axis=1), 2)
                results[name].append((float(bootstrap.accuracy_of(counts)), float(bootstrap.macro_f1_of(counts))))
    table = {name: np.array(values) for name, values in results.items()}

    def against(name: str, other: str) -> dict[str, Any]:
        change = table[name] - table[other]
        error = change.std(axis=0, ddof=1) * np.sqrt(1 / len(change) + 1 / 4)
        reach = float(t.ppf(0.975, len(change) - 1)) * error
        mean = change.mean(axis=0)
        return {
            score: {"mean": _r(mean[i]), "interval": [_r(mean[i] - reach[i]), _r(mean[i] + reach[i])]}
            for i, score in enumerate(("accuracy", "macro_f1"))
        }

    return {
        "rows": len(train),
        "fits": 5 * repeats,
        **{
            name: {"accuracy": _r(v[:, 0].mean()), "macro_f1": _r(v[:, 1].mean()), "sd": _r(v[:, 0].std(ddof=1))}
            for name, v in table.items()
        },
        "ours_less_replaced": against("ours", "replaced"),
        "vote_less_logistic": against("vote", "logistic"),
    }


def replaced_protocol(path: Path = PINTU) -> dict[str, Any]:
    """All rows with other than 3 stars, texts unaltered, 15 % drawn at random (seed 42, stratified): 600 test rows.

    Read from the file as it is: this protocol leaves repeated texts on both sides.
    """
    from sklearn.model_selection import train_test_split

    raw = pd.read_csv(path, keep_default_na=False, usecols=["review_text", "rating"])
    raw = raw[raw["rating"] != 3]
    frame = raw.assign(label=np.where(raw["rating"] > 3, "positive", "negative"))
    known, asked = train_test_split(np.arange(len(frame)), test_size=0.15, random_state=42, stratify=frame["label"])
    return {
        "published": {"classic": PUBLISHED_CLASSIC, "indobert": PUBLISHED_BERT},
        **_compared(frame.iloc[known], frame.iloc[asked]),
    }


def temporal(path: Path = PINTU) -> dict[str, Any]:
    """The newest 15 % of distinct texts as test, everything older as train."""
    frame = labelled(path).sort_values(["review_date", "review_id"])
    frame = frame.assign(key=[normalise(text) for text in frame["review_text"]]).drop_duplicates("key")
    border = int(len(frame) * 0.85)
    return _compared(frame.iloc[:border], frame.iloc[border:])


def fit_seconds(path: Path = PINTU, rows: int = 5000) -> dict[str, Any]:
    """Seconds, by the clock and of all cores together, to vectorise, choose, fit and calibrate.

    On `rows` real reviews, drawn with repetition.
    """
    frame = labelled(path)
    train = frame[frame["side"] == "train"].sample(rows, replace=True, random_state=1)
    ours(train.iloc[:300], frame[frame["side"] == "validation"])  # scikit-learn is loaded
    began, began_cpu = time.perf_counter(), time.process_time()
    ours(train, frame[frame["side"] == "validation"])
    return {
        "rows": rows,
        "seconds": _r(time.perf_counter() - began),
        "cpu_seconds": _r(time.process_time() - began_cpu),
    }


def scale(rows: int, path: Path = PINTU) -> dict[str, Any]:
    """Seconds and peak memory of a whole training on `rows` reviews, real texts drawn again and perturbed.

    In a process of its own, so that the peak is its own.
    """
    program = (
        f"import json; from pathlib import Path; from benchmarks import classic; "
        f"print(json.dumps(classic.scale_here({rows}, Path({str(path)!r}))))"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def scale_here(rows: int, path: Path) -> dict[str, Any]:
    """What `scale` measures, in this process."""
    import tempfile

    from mlops_assets.artifact import TrainedWith
    from mlops_assets.serving.models.classic import ClassicModel

    frame = perturbed(labelled(path), rows)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began, began_cpu = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        trained = classic.train_classic(
            frame,
            ClassicRecipe(),
            Path(folder),
            trained_with=TrainedWith("scale", "binary", "scale", "scale"),
            run_id="scale",
            report=lambda line: print(f"{time.perf_counter() - began:7.1f} s {line}", file=sys.stderr, flush=True),
            load=ClassicModel.load,
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "rows": rows,
        "seconds": _r(time.perf_counter() - began),
        "cpu_seconds": _r(time.process_time() - began_cpu),
        "peak_gib": _r(peak / 2**20),
        "peak_gib_of_reviews_alone": _r(before / 2**20),
        "test_accuracy": trained.metrics["test"]["accuracy"],
        "test_n": trained.metrics["test"]["n"],
    }


def perturbed(frame: pd.DataFrame, rows: int, seed: int = 0) -> pd.DataFrame:
    """`rows` reviews made of real ones: drawn again, a word doubled, dropped or misspelt in each; sides kept."""
    rng = np.random.default_rng(seed)
    drawn = frame.iloc[rng.integers(0, len(frame), rows)].reset_index(drop=True)
    chance = rng.random((rows, 4))
    texts = []
    for text, (what, where, letter, other) in zip(drawn["review_text"], chance, strict=True):
        words = text.split() or [text]
        place = int(where * len(words))
        word = words[place]
        if what < 0.3 and len(words) > 2:
            words[place] = f"{word} {words[int(other * len(words))]}"
        elif what < 0.5 and len(words) > 3:
            del words[place]
        elif len(word) > 2:
            at = int(letter * (len(word) - 1))
            words[place] = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        texts.append(" ".join(words))
    return drawn.assign(review_text=texts, review_id=[f"{n}" for n in range(rows)])


def _compared(train: pd.DataFrame, test: pd.DataFrame) -> dict[str, Any]:
    """Both recipes on the same rows; ours chooses on a tenth of the train texts, which it then does not train on."""
    chooses = np.array([int(text_digest(text)[-8:], 16) % 10 == 0 for text in train["review_text"]])
    texts = test["review_text"].tolist()
    keys = evaluate.text_keys(test["review_text"]).tolist()
    truth = evaluate.indices(test["label"], NAMES)
    answers = {
        "replaced": replaced(train, train)(texts),
        "ours": ours(train[~chooses], train[chooses])(texts),
    }
    figures: dict[str, Any] = {"train_rows": len(train), "test_rows": len(test)}
    for name, given in answers.items():
        figures[name] = evaluate.brief(evaluate.scores(test["label"], given, NAMES, texts=keys))
    cells = (truth * 2 + answers["ours"].argmax(axis=1)) * 2 + answers["replaced"].argmax(axis=1)
    cube = bootstrap.resampled_counts(cells, 8, texts=keys).reshape(-1, 2, 2, 2)
    change = bootstrap.accuracy_of(cube.sum(axis=3)) - bootstrap.accuracy_of(cube.sum(axis=2))
    low, high = bootstrap.interval(change)
    figures["ours_less_replaced"] = {
        "accuracy": _r(figures["ours"]["accuracy"] - figures["replaced"]["accuracy"]),
        "interval": [_r(low), _r(high)],
    }
    return figures


def _r(value: float) -> float:
    return round(float(value), 4)


def main(arguments: list[str] | None = None) -> int:
    """Print the figures as JSON."""
    measures: dict[str, Callable[[Path], dict[str, Any]]] = {
        "cross_validation": cross_validation,
        "replaced_protocol": replaced_protocol,
        "temporal": temporal,
        "fit_seconds": fit_seconds,
    }
    parser = argparse.ArgumentParser(prog="python -m benchmarks.classic", description=__doc__)
    parser.add_argument("--reviews", type=Path, default=PINTU)
    parser.add_argument("--only", nargs="*", choices=[*measures, "none"], default=list(measures))
    parser.add_argument("--scale-rows", type=int, nargs="*", default=[], help="also train on so many perturbed reviews")
    chosen = parser.parse_args(arguments)
    figures = {name: measure(chosen.reviews) for name, measure in measures.items() if name in chosen.only}
    if chosen.scale_rows:
        figures["scale"] = {str(rows): scale(rows, chosen.reviews) for rows in chosen.scale_rows}
    print(json.dumps(figures, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
