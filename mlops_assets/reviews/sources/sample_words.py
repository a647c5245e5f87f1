"""The words of the sample reviews, all written for this project; how they become reviews is sample.py's."""

# What a review can be about: (names, what is said when it works, what is said when it does not).
ASPECTS: tuple[tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]], ...] = (
    (
        ("login", "masuk akun", "proses masuk", "login pakai sidik jari"),
        ("cepat sekali", "lancar tanpa kendala", "gampang", "aman dan cepat", "sekali klik langsung bisa"),
        ("gagal terus", "selalu ditolak", "muter muter saja", "minta kata sandi berulang kali", "keluar sendiri"),
    ),
    (
        ("kode OTP", "verifikasi", "verifikasi wajah", "verifikasi KTP", "daftar akun baru"),
        ("langsung masuk", "tidak sampai semenit", "mudah dipahami", "cuma sebentar", "tidak ribet"),
        ("tidak pernah terkirim", "ribet banget", "gagal padahal foto jelas", "ditolak tanpa alasan", "lama sekali"),
    ),
    (
        ("transfer", "isi saldo", "pembayaran", "tarik tunai", "bayar tagihan", "kirim uang"),
        ("langsung sampai", "tidak pernah gagal", "prosesnya kilat", "praktis", "tanpa biaya tambahan"),
        (
            "pending berhari hari",
            "gagal tapi saldo terpotong",
            "nyangkut",
            "sering error",
            "uangnya hilang entah ke mana",
        ),
    ),
    (
        ("customer service", "layanan pelanggan", "admin", "CS nya", "tim bantuan"),
        ("ramah dan sabar", "cepat tanggap", "sangat membantu", "menjelaskan sampai tuntas", "selalu ada solusi"),
        ("cuma dijawab robot", "tidak pernah membalas", "lempar lemparan", "jutek", "tidak memberi solusi apa pun"),
    ),
    (
        ("tampilan", "desain baru", "menu", "halaman depan", "mode gelap"),
        ("rapi dan enak dilihat", "sederhana tapi lengkap", "nyaman di mata", "mudah dicari", "keren"),
        ("berantakan", "bikin pusing", "susah dicari", "hurufnya kekecilan", "malah tambah ruwet"),
    ),
    (
        ("aplikasi", "aplikasi ini", "programnya", "versi terbaru", "update terakhir"),
        ("ringan", "stabil di hp lama", "makin cepat", "jarang sekali bermasalah", "hemat baterai"),
        ("lemot", "force close terus", "bikin hp panas", "menutup sendiri", "makan memori banyak", "tidak bisa dibuka"),
    ),
    (
        ("promo", "cashback", "diskon", "voucher", "poin hadiah"),
        ("banyak", "benar benar cair", "lumayan buat jajan", "selalu ada tiap minggu", "bikin hemat"),
        ("cuma tipuan", "hangus begitu saja", "tidak bisa dipakai", "syaratnya tidak masuk akal", "tidak pernah masuk"),
    ),
    (
        ("biaya admin", "harga", "ongkos kirim", "tarif", "potongan"),
        ("murah", "masuk akal", "jelas dari awal", "lebih hemat dari yang lain", "bersahabat di kantong"),
        ("kemahalan", "naik terus", "tidak transparan", "mencekik", "tiba tiba berubah"),
    ),
    (
        ("notifikasi", "iklan", "pop up", "pesan promosi"),
        ("tidak mengganggu", "bisa diatur", "pas seperlunya", "informatif"),
        ("mengganggu", "muncul tiap detik", "tidak bisa dimatikan", "menutupi layar", "kebanyakan"),
    ),
    (
        ("kurir", "pengiriman", "pesanan", "driver", "paket"),
        (
            "datang tepat waktu",
            "sampai dengan selamat",
            "sopan",
            "bisa dilacak dengan jelas",
            "lebih cepat dari perkiraan",
        ),
        ("telat berjam jam", "dibatalkan sepihak", "salah alamat", "tidak pernah sampai", "rusak waktu diterima"),
    ),
    (
        ("grafik", "laporan", "riwayat transaksi", "data pengeluaran", "fitur tabungan"),
        ("lengkap", "gampang dibaca", "sangat berguna", "akurat", "membantu mengatur uang"),
        ("tidak akurat", "kosong melompong", "tidak bisa diunduh", "sering hilang", "selalu terlambat"),
    ),
    (
        ("peta", "GPS", "titik jemput", "lokasi"),
        ("akurat", "pas di depan rumah", "jarang meleset", "cepat terbaca"),
        ("ngaco", "meleset jauh", "tidak terbaca", "pindah pindah sendiri"),
    ),
)

GOOD_SHORT = (
    "bagus", "mantap", "ok", "good", "keren", "sangat membantu", "sip", "mantap jiwa", "bagus sekali", "oke banget",
    "suka", "terbaik", "nice", "joss", "top", "puas", "recommended", "aplikasi bagus", "memuaskan", "good app",
    "mudah dan cepat", "terima kasih", "aman dan nyaman", "luar biasa", "👍", "👍👍👍", "❤️", "😍", "best", "bagus bgt",
)  # fmt: skip

BAD_SHORT = (
    "jelek", "kecewa", "payah", "lemot", "error terus", "parah", "sampah", "penipu", "buruk", "bad", "ribet",
    "tidak bisa dibuka", "nyesel", "hapus saja", "tidak berguna", "aplikasi jelek", "zonk", "👎", "😡", "mengecewakan",
)  # fmt: skip

MIXED_SHORT = (
    "lumayan",
    "biasa saja",
    "cukup",
    "standar",
    "so so",
    "b aja",
    "ok lah",
    "belum coba semua",
    "😐",
    "ya gitu",
)

VAGUE = (
    "aplikasi", "coba dulu", "baru unduh", "semoga bermanfaat", "ya", "bintang dulu", "untuk transaksi", "baru pakai",
    "semoga ke depannya lebih baik", "tolong dibaca", "dipakai tiap hari", "sudah lama pakai",
)  # fmt: skip

GOOD_FRAMES = (
    "{aspect} {good}",
    "{aspect} {good}, {verdict_good}",
    "{verdict_good}, {aspect} {good}",
    "{since} pakai aplikasi ini, {aspect} {good} dan {aspect2} {good2}",
    "suka banget, {aspect} {good}. {aspect2} juga {good2}",
    "{aspect} {good}, {wish_good}",
    "awalnya ragu, ternyata {aspect} {good}",
    "dulu {aspect} {bad}, sekarang sudah {good}",
    "tidak menyesal unduh, {aspect} {good}",
    "dibanding aplikasi sebelah, di sini {aspect} {good}",
    "buat {who} cocok sekali, {aspect} {good}",
    "{aspect} {good} {aspect2} {good2} pokoknya {verdict_good}",
    "sangat membantu {who}, {aspect} {good}",
    "tidak pernah kecewa, {aspect} {good}",
)

BAD_FRAMES = (
    "{aspect} {bad}",
    "{aspect} {bad}, {verdict_bad}",
    "{verdict_bad}, {aspect} {bad}",
    "{since} pakai, makin lama {aspect} {bad}",
    "sudah dicoba berkali kali, {aspect} {bad}. {wish_bad}",
    "{aspect} {bad}, {aspect2} juga {bad2}",
    "habis update {aspect} {bad}, {wish_bad}",
    "dulu {aspect} {good}, sekarang {bad}",
    "katanya {aspect} {good}, nyatanya {bad}",
    "niatnya mau mudah malah {aspect} {bad}",
    "tolong diperbaiki, {aspect} {bad}",
    "{who} jadi rugi gara gara {aspect} {bad}",
    "tidak sebagus iklannya, {aspect} {bad}",
    "bintang satu dulu, {aspect} {bad}. {wish_bad}",
)

MIXED_FRAMES = (
    "{aspect} {good}, tapi {aspect2} {bad2}",
    "{aspect} {bad}, untungnya {aspect2} {good2}",
    "cukup oke, cuma {aspect} {bad}",
    "lumayan, {aspect} {good} walau {aspect2} {bad2}",
    "saya kasih tiga dulu, {aspect} {bad}",
)

VERDICT_GOOD = (
    "mantap", "puas", "recommended", "bagus sekali", "terima kasih", "top", "keren", "pertahankan", "sukses terus",
    "tidak rugi", "bintang lima", "memudahkan hidup", "lanjutkan", "terpercaya", "suka sekali", "tidak ada keluhan",
)  # fmt: skip

VERDICT_BAD = (
    "kecewa", "payah", "parah", "mengecewakan", "nyesel unduh", "buang waktu", "rugi", "jangan diunduh", "bikin emosi",
    "tidak recommended", "hapus saja", "kapok", "penipuan", "tidak profesional", "capek", "sangat buruk",
)  # fmt: skip

WISH_GOOD = (
    "semoga makin maju", "pertahankan ya", "tinggal tambah fitur baru", "semoga tetap gratis", "jangan berubah",
    "ditunggu promo berikutnya", "semoga makin banyak pengguna",
)  # fmt: skip

WISH_BAD = (
    "tolong segera diperbaiki", "kembalikan uang saya", "mohon ditindaklanjuti", "pindah ke aplikasi lain saja",
    "kalau begini terus saya hapus", "mana tanggung jawabnya", "kembalikan versi lama", "jangan cuma minta maaf",
)  # fmt: skip

SINCE = (
    "baru seminggu",
    "sudah dua tahun",
    "dari awal rilis",
    "sebulan ini",
    "hampir setahun",
    "sejak kuliah",
    "tiga hari",
)

WHO = ("pemula", "pedagang kecil", "mahasiswa", "ibu rumah tangga", "orang tua", "pekerja harian", "keluarga saya")

GOOD_EMOJI = ("👍", "😍", "❤️", "🔥", "🙏", "😊", "💯", "🥰", "👍🏻👍🏻")
BAD_EMOJI = ("😡", "👎", "😤", "🤮", "😭", "🙏", "😒", "💔")

# How people really write the left side. Applied word by word.
SLANG: dict[str, tuple[str, ...]] = {
    "tidak": ("gak", "ga", "nggak", "tdk", "ngga", "g", "enggak"),
    "sudah": ("udah", "udh", "sdh"),
    "sekali": ("bgt", "banget", "bngt"),
    "banget": ("bgt", "bangett", "bngt"),
    "sangat": ("sgt", "bener2"),
    "aplikasi": ("apk", "app", "apps", "aplikasinya"),
    "terus": ("trs", "mulu", "terusss"),
    "saja": ("aja", "doang", "ajah"),
    "tapi": ("tp", "tpi"),
    "bisa": ("bs", "bisaa"),
    "yang": ("yg",),
    "sekarang": ("skrg", "skrang"),
    "saya": ("sy", "gue", "aku", "saya"),
    "malah": ("malahan", "mlh"),
    "terima kasih": ("makasih", "trims"),
    "cepat": ("cpt", "cepet", "sat set"),
    "bagus": ("bgs", "bagusss", "bagoos"),
    "mantap": ("mantul", "mantab", "mantaap"),
    "lemot": ("lelet", "lemoot", "lambat"),
    "dulu": ("dlu", "dulu"),
    "jadi": ("jd", "jadi"),
    "tolong": ("tlg", "plis", "mohon"),
    "gampang": ("gampil", "mudah"),
    "kecewa": ("kcewa", "kecewaa", "kecewa berat"),
    "error": ("eror", "ngebug", "eror"),
    "langsung": ("lgsg", "lngsung"),
    "membantu": ("ngebantu", "mmbantu"),
    "uang": ("duit", "uang"),
}

REPLY_GOOD = (
    "Halo Kak, terima kasih atas ulasannya! Senang bisa membantu.",
    "Hai Kak, terima kasih sudah memakai aplikasi kami. Ditunggu saran berikutnya ya.",
    "Terima kasih atas bintangnya, Kak. Semoga harinya menyenangkan!",
)

REPLY_BAD = (
    "Halo Kak, mohon maaf atas kendalanya. Silakan kirim nomor tiket lewat menu Bantuan agar kami periksa.",
    "Hai Kak, maaf atas ketidaknyamanannya.\nCoba perbarui aplikasi ke versi terbaru, lalu masuk kembali.",
    "Mohon maaf, Kak. Keluhan ini sudah kami teruskan ke tim terkait.",
)
