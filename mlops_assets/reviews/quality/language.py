"""The language of a review, from its script and its commonest words; nothing is downloaded.

It answers only where there is evidence: a short or slangy text is `unknown`, never foreign. py3langid 0.4 and lingua
2.0 call 1 to 2 % of slangy Indonesian reviews foreign, and up to half of the shortest ones. Indonesia's regional
languages and Malay share most of the listed words with Indonesian and count as Indonesian.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping

import pandas as pd

HOME = frozenset({"id", "en"})
UNKNOWN = "unknown"

_WORDS: dict[str, str] = {
    "id": """
        yang dan di ini itu untuk dengan tidak dari ke ada saya kami kita dia mereka akan bisa sudah belum
        jadi juga karena pada atau saja lagi kalau tapi tetapi sangat lebih banyak harus mau buat aplikasi
        bagus mantap gak ga nggak ngga tdk yg udah udh aja banget bgt tp krn klo kalo dgn sy aku gue gua lu
        kok sih dong deh nya apk lemot susah mudah cepat lama baru terus tolong mohon semoga makasih terima
        kasih masuk keluar uang saldo akun bayar harga driver tiap kenapa gimana bagaimana apa kapan mana
        sekali setiap malah padahal sekarang dulu sama seperti jangan perlu coba pakai pake dalam oleh sebagai
        hanya cuma biar supaya agar selalu sering jelek parah kecewa baik puas rugi""",
    "en": """
        the and is it to of in for you this that with not are was but have be my on so very good great nice
        app love best easy use can all they just like your me from time no get if or would please when been
        there more than what will has an as at by do how we our i too""",
    "es": """
        el la los las que de en es y muy para con por una del no se lo pero como esta todo bien buena más me
        ha al su sin""",
    "pt": """
        o os que de em é e muito para com por uma do da não se mas como está tudo bem boa mais me ao você um
        na no isso""",
    "fr": """
        le la les que de en est et très pour avec une du des pas ce mais je vous bien plus il qui sur au cette
        dans tout""",
    "de": """
        der die das und ist nicht ich sehr mit ein eine es zu auf für den von man aber gut wenn nur auch noch
        kann mir wird""",
    "it": """
        il lo gli che di è e molto per con una del non si ma come tutto bene più mi un della sono anche ho
        questa""",
    "nl": """
        de het een en is niet ik zeer met van op voor dat die maar goed als ook nog kan heel deze geen wel bij""",
    "tl": """
        ang ng mga sa na at ay ko po ako siya hindi naman lang kasi yung para ito pa ba din talaga maganda
        ninyo niyo""",
    "vi": """
        và là của không có tôi rất được cho này với một các để khi thì mà bị nhưng ứng dụng tốt quá""",
    "tr": """
        ve bir bu çok için ile değil ben ama daha güzel iyi gibi ne var yok olarak kadar uygulama sonra""",
}
_INDEX: dict[str, frozenset[str]] = {}
for _language, _listed in _WORDS.items():
    for _word in _listed.split():
        _INDEX[_word] = _INDEX.get(_word, frozenset()) | {_language}

_LETTERS = re.compile(r"[^\W\d_]+")
_LEAST_WORDS = 4
_LEAST_HITS = 3
_MOST_MEASURED = 2000
"""Texts of an app that its language is measured on."""


def language_of(text: str, home: Collection[str] = HOME) -> str:
    """A language's code, the script's name (`script:ARABIC`) or `unknown`.

    A language of `home` is expected: a single of its words is evidence enough, where others need more.
    """
    words = _LETTERS.findall(unicodedata.normalize("NFKC", text).lower())
    letters = "".join(words)
    if not letters:
        return UNKNOWN
    if not letters.isascii():
        foreign = [
            letter
            for letter in letters
            if ord(letter) > 0x24F and not unicodedata.name(letter, "LATIN").startswith("LATIN")
        ]
        if len(foreign) * 2 > len(letters):
            return f"script:{unicodedata.name(foreign[0], '?').split(' ')[0]}"
    hits: dict[str, int] = {}
    for word in words:
        for language in _INDEX.get(word, ()):
            hits[language] = hits.get(language, 0) + 1
    if not hits:
        return UNKNOWN
    best = max(hits, key=lambda language: (hits[language], language in home))
    if best in home:
        return best
    at_home = max((hits.get(language, 0) for language in home), default=0)
    # Two thirds more evidence than for the expected ones: `no`, `me`, `para` and `sa` are words in several.
    certain = len(words) >= _LEAST_WORDS and hits[best] >= _LEAST_HITS and hits[best] * 3 >= at_home * 5
    return best if certain else UNKNOWN


def is_foreign(language: str, home: Collection[str] = HOME) -> bool:
    """Known to be none of `home`."""
    return language not in home and language != UNKNOWN


def main_language(texts: Iterable[str]) -> str:
    """The language that most of the texts are in, of those that can be told; `unknown` if none can."""
    found = Counter(language for text in texts if (language := language_of(text)) != UNKNOWN)
    return min(found, key=lambda language: (-found[language], language)) if found else UNKNOWN


def app_languages(reviews: pd.DataFrame, named: Mapping[str, str]) -> dict[str, str]:
    """The language of each app: as `named`, else measured on texts from all over its reviews."""
    found: dict[str, str] = {}
    for app, rows in reviews.groupby("app_id", observed=True).indices.items():
        texts = reviews["review_text"].iloc[rows[:: -(-len(rows) // _MOST_MEASURED)]].dropna()
        found[str(app)] = named.get(str(app)) or main_language(texts)
    return found


def languages_of(reviews: pd.DataFrame, expected: Mapping[str, str]) -> list[str]:
    """The language of each review, as one of an app whose language is `expected`, or English."""
    texts = reviews["review_text"].fillna("")
    return [language_of(text, (expected[app], "en")) for app, text in zip(reviews["app_id"], texts, strict=True)]


def with_languages(reviews: pd.DataFrame, named: Mapping[str, str]) -> pd.DataFrame:
    """The reviews with the column `language`. `named` holds the languages of apps that are not to be measured."""
    return reviews.assign(language=languages_of(reviews, app_languages(reviews, named)))
