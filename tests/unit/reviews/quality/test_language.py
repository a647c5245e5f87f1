import pandas as pd
import pytest

from mlops_assets.reviews.quality.language import is_foreign, language_of, main_language, with_languages


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("aplikasinya bagus dan mudah dipakai", "id"),
        ("gak bisa masuk, udah dicoba berkali kali", "id"),
        ("apk e apik tenan, gampang digunakake", "id"),
        ("very good app, easy to use", "en"),
        ("bagus, easy to use, recommended", "en"),
        ("muy buena aplicacion para todo, la mejor de las que uso", "es"),
        ("não funciona, o aplicativo é muito ruim e não abre", "pt"),
        ("très bonne application, je la recommande pour tous les amis", "fr"),
        ("die App ist sehr gut und ich kann sie nur empfehlen", "de"),
        ("maganda po ang app na ito pero mabagal sa phone ko", "tl"),
        ("ứng dụng này rất tốt và được cho tôi", "vi"),
        ("очень хорошее приложение", "script:CYRILLIC"),
        ("खूपच सुंदर अँप आहे", "script:DEVANAGARI"),
        ("很好用", "script:CJK"),
        ("𝒔𝒂𝒏𝒈𝒂𝒕 𝒃𝒂𝒊𝒌", "id"),
        ("👍👍", "unknown"),
        ("", "unknown"),
        ("para driver no respon", "unknown"),
    ],
)
def test_the_language_of_a_text(text, language):
    assert language_of(text) == language
    assert is_foreign(language) == (language not in ("id", "en", "unknown"))


def test_an_expected_language_needs_less_evidence():
    assert language_of("muy buena") == "unknown"
    assert language_of("muy buena", ("es", "en")) == "es"
    assert not is_foreign("es", ("es", "en"))
    assert is_foreign("id", ("es", "en"))


def test_the_main_language_is_that_of_most_texts_that_can_be_told():
    spanish, indonesian = "muy buena aplicacion para todo, la mejor", "aplikasinya bagus dan mudah dipakai"
    assert main_language([spanish, spanish, indonesian, "👍", "ok"]) == "es"
    assert main_language(["很好用", "非常好", "ok"]) == "script:CJK"
    assert main_language(["👍", ""]) == "unknown"


def test_each_text_is_read_as_one_of_its_app_s_language():
    spanish, indonesian = "muy buena aplicacion para todo, la mejor", "aplikasinya bagus dan mudah dipakai"
    reviews = pd.DataFrame(
        {
            "app_id": ["app.es", "app.id", "app.es", "app.id", "app.es"],
            "review_text": [spanish, indonesian, "muy buena", "muy buena", None],
        }
    )
    assert with_languages(reviews, {})["language"].tolist() == ["es", "id", "es", "unknown", "unknown"]
    assert with_languages(reviews, {"app.id": "es"})["language"].tolist() == ["es", "id", "es", "es", "unknown"]
