"""Invented labelled reviews with sides, as training receives them."""

import numpy as np
import pandas as pd

GOOD = ("bagus", "mantap", "suka", "cepat", "mudah", "keren", "puas", "terbaik")
BAD = ("jelek", "lambat", "error", "kecewa", "gagal", "parah", "hilang", "rusak")
SO_SO = ("biasa", "lumayan", "cukup", "standar")
PLAIN = ("aplikasi", "ini", "saya", "login", "saldo", "tidak", "yg", "banget", "fitur", "min")
WORDS = {"negative": BAD, "neutral": SO_SO, "positive": GOOD}
STARS = {"negative": (1, 2), "neutral": (3, 3), "positive": (4, 5)}


def invented(rows: int = 400, *, labels: tuple[str, ...] = ("negative", "positive"), seed: int = 0) -> pd.DataFrame:
    """Reviews of which about one in ten has words that contradict its label; sides 70, 10, 10 and 10 percent."""
    rng = np.random.default_rng(seed)
    label = rng.choice(labels, rows)
    texts, stars = [], []
    for own in label:
        told = rng.choice(labels) if rng.random() < 0.1 else own
        words = [*rng.choice(PLAIN, rng.integers(0, 5)), *rng.choice(WORDS[told], rng.integers(1, 3))]
        rng.shuffle(words)
        texts.append(" ".join(words))
        stars.append(int(rng.choice(STARS[own])))
    days = pd.to_timedelta(rng.integers(0, 360, rows), unit="D")
    return pd.DataFrame(
        {
            "review_id": [f"r{n:05}" for n in range(rows)],
            "app_id": rng.choice(["app.one", "app.two"], rows),
            "review_text": texts,
            "rating": pd.array(stars, dtype="Int64"),
            "review_date": pd.Series(pd.Timestamp("2025-01-01", tz="UTC") + days).astype("datetime64[us, UTC]"),
            "label": label,
            "side": rng.choice(["train", "validation", "gate", "test"], rows, p=[0.7, 0.1, 0.1, 0.1]),
        }
    )
