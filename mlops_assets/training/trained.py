"""What every training ends with: the sentences that its model must answer from then on, and what it hands back."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

GOLDEN_BY_LANGUAGE: Mapping[str, tuple[str, ...]] = {
    "id": (
        "Aplikasi ini sangat membantu, mudah dipakai dan cepat!",
        "Kecewa, saldo saya hilang dan CS tidak membalas.",
        "gak bisa login, eror terus tiap hari 😡",
        "mantap bgt 👍👍 makasih min",
        "Tidak buruk, tapi sering lemot kalau dibuka malam hari.",
        "biasa saja",
        "Verifikasi ditolak tiga kali tanpa alasan. Tolong diperbaiki.",
        "bagus",
        "jelek",
        "Fitur lengkap; biaya penarikannya kemahalan.",
        "ok",
        "😊",
        "Sudah lima tahun pakai, belum pernah ada masalah, tampilannya pun enak dilihat. " * 8,
    ),
    "en": (
        "Works every single time, and support answered within an hour.",
        "It keeps logging me out since the last update. Please fix this!!",
        "not bad, but way too many ads",
    ),
    "es": ("Muy buena aplicación, aunque tarda en abrir.",),
    "th": ("ใช้งานง่ายมาก",),
    "ar": ("التطبيق لا يعمل بعد التحديث",),
}
"""Written for this. A language that a model did not learn still shows that texts become the same tokens everywhere."""

GOLDEN_SENTENCES = tuple(sentence for sentences in GOLDEN_BY_LANGUAGE.values() for sentence in sentences)
"""Asked when a model is sealed and again, over HTTP, before it serves."""


@dataclass(frozen=True)
class Trained:
    """A sealed model: its version, and the content of its metrics file."""

    model_version: str
    metrics: Mapping[str, Any]
