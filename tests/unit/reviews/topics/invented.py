"""Invented complaints about things that tests choose: each text is of one theme, with everyday words around it."""

import random
from collections.abc import Sequence

THEMES = {
    "login": ("login", "kode", "otp", "verifikasi", "sandi"),
    "money": ("saldo", "hilang", "uang", "penarikan", "tertahan"),
    "speed": ("lemot", "lambat", "berat", "loading", "macet"),
    "adverts": ("iklan", "muncul", "mengganggu", "video", "terus"),
}
_AROUND = tuple(f"kata{letter}" for letter in "abcdefghijklmnopqrstuvwxyz")


def complaints(theme: str, count: int, seed: int = 0, words: Sequence[str] | None = None) -> list[str]:
    """`count` distinct texts of a theme."""
    chance = random.Random(f"{theme}{seed}")  # noqa: S311  # invented texts
    texts = [
        " ".join([*chance.sample(words or THEMES[theme], 3), *chance.sample(_AROUND, 3), "yang", "ini"])
        for _ in range(count)
    ]
    return list(dict.fromkeys(texts))


def everything(each: int, seed: int = 0, without: str = "") -> list[str]:
    """Texts of every theme but one."""
    return [text for theme in THEMES if theme != without for text in complaints(theme, each, seed)]
