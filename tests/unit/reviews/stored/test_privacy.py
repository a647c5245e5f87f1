import pytest

from mlops_assets.reviews.stored.privacy import author_hash, mask_name


@pytest.mark.parametrize(
    ("text", "name", "masked"),
    [
        ("Halo Budi Santoso, terima kasih", "Budi Santoso", "Halo [name], terima kasih"),
        ("Halo kak BUDI, maaf", "Budi Santoso", "Halo kak [name], maaf"),
        ("Hi Santoso!", "Budi Santoso", "Hi [name]!"),
        ("Hai Budi  Santoso", "Budi Santoso", "Hai [name]"),
        ("kebudian tetap", "Budi", "kebudian tetap"),
        ("Hai budi_santoso99 apa kabar", "budi_santoso99", "Hai [name] apa kabar"),
        ("Hai 𝓑𝓾𝓭𝓲", "Budi", "Hai [name]"),
        ("Hai 𝓑𝓾𝓭𝓲", "𝓑𝓾𝓭𝓲", "Hai [name]"),
        ("Hai Budi", "𝓑𝓾𝓭𝓲", "Hai [name]"),
        ("Halo A, satu A saja", "A", "Halo [name], satu [name] saja"),
        ("Unduh di Google Play", "Pengguna Google", "Unduh di Google Play"),
        ("Halo Pengguna Google, maaf", "Pengguna Google", "Halo [name], maaf"),
        ("(.*) a+b", "(.*)", "[name] a+b"),
        ("Halo", "   ", "Halo"),
        ("Halo kak Jose Nunez", "José Núñez", "Halo kak [name]"),
        ("Halo José, café kami", "Jose", "Halo [name], café kami"),
        ("Halo Rani Putri", "RaniPutri", "Halo [name] [name]"),
        ("HaloBudi, maaf", "Budi Santoso", "Halo[name], maaf"),
        ("Yth. Sdr. Agus dan Ibu", "Bpk. Agus", "Yth. Sdr. [name] dan Ibu"),
        ("Halo Rani🌸Putri, kak Rani", "Rani🌸Putri", "Halo [name], kak [name]"),
        ("kebudian", "Budi", "kebudian"),
        ("Halo 🔥, maaf", "🔥", "Halo [name], maaf"),
    ],
)
def test_the_name_of_a_review_is_masked_in_its_reply(text, name, masked):
    assert mask_name(text, name) == masked


def test_the_hash_depends_on_key_and_name_alone():
    assert author_hash("k", "Budi Santoso") == author_hash("k", " budi  SANTOSO")
    assert author_hash("k", "Budi") != author_hash("j", "Budi")
    assert author_hash("k", "Budi") != author_hash("k", "Budi S")
    assert len(author_hash("k", "Budi")) == 32
