"""What every training ends with: the sentences that its model must answer from then on, and what it hands back."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

GOLDEN_SENTENCES = (
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
)
"""Asked when a model is sealed and again, over HTTP, before it serves. Written for this."""


@dataclass(frozen=True)
class Trained:
    """A sealed model: its version, and the content of its metrics file."""

    model_version: str
    metrics: Mapping[str, Any]
