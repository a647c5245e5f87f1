"""Sentences that every model is asked when it is sealed and again, over HTTP, before it serves. Written for this."""

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
