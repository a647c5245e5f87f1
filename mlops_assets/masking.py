"""Personal data in texts: telephone numbers, e-mail addresses, cards and accounts become masks such as `[phone]`.

One function for the pipeline and the server, so that a model serves what it was trained on. Standard library only.
Numbers that tell nothing about a person stay: amounts, prices, dates, times, versions. Not masked: names in reviews,
social handles, one-time codes, wallet addresses, numbers of fewer than nine digits, numbers written as words.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from functools import lru_cache

KINDS = ("phone", "email", "card", "account", "id")
"""`id` is an identity card (NIK) or a tax number (NPWP). `account` is also any other number of ten digits or more, such
as a transaction's: nothing in it tells the two apart."""

Span = tuple[int, int, str]
"""Start, end and kind of what is masked."""

_MASKS = re.compile(rf"\[({'|'.join(KINDS)})\]")
_MAY_HAVE_EMAIL = re.compile(r"@|\b[Aa][Tt]\b")
_MAY_HAVE_NUMBER = re.compile(r"(?:\d\D*+){9}")

# A reply may hold the mask of its author's name in place of a part of the address.
_PROVIDER = r"(?:g-?mail|yahoo|ymail|rocketmail|hotmail|outlook|icloud|proton(?:mail)?)"
_DOT_COM = r"(?:\s|\s?(?:[.,]|\(dot\)|\[dot\]|\bdot\b|\btitik\b)\s?)(?:com|co\.id|id|net)(?![a-z])"
_FROM_AT_ON = re.compile(
    rf"""
      @(?:(?:\[name\]|[\w\-]){{1,63}}\.){{1,8}}[a-z]{{2,24}}
    | \s?[(\[]at[)\]]\s?(?:[\w\-]{{1,63}}(?:\.|\s?[(\[]dot[)\]]\s?)){{1,8}}[a-z]{{2,24}}
    | (?:@\s?|\s?[(\[]at[)\]]\s?){_PROVIDER}(?:{_DOT_COM}|(?![a-z]))
    | (?P<apart>\s?(?:@|\bat\b)\s?){_PROVIDER}{_DOT_COM}
    """,
    re.IGNORECASE | re.VERBOSE,
)
_BEFORE_AT_BACKWARDS = re.compile(r"(?!\.)(?:\]eman\[|[\w+\-.])+")
_LONGEST_LOCAL = 100

# The number patterns are the tokens of a lexer. Each digit belongs to one token, so no match starts inside a number,
# and masking a masked text changes nothing. Every repetition is bounded or possessive: the time is linear.
_NOT_PERSONAL = r"""
      # Money
      (?<![a-z])(?:rp|idr|usdt?|\$)\.?\s?[0-9]++(?:[.,][0-9]++)*+
      # Dates, and hours from and to
    | (?:19|20)[0-9]{2}(?P<a>[\-/.])[0-9]{1,2}(?P=a)[0-9]{1,2}(?![0-9])
    | [0-9]{1,2}(?P<b>[\-/.\ ])[0-9]{1,2}(?P=b)(?:19[89]|20[0-3])[0-9](?![\-.\ ]?[0-9]{3})
    | [0-9]{1,2}[.:][0-9]{2}\s?(?:-|sd|s/d|sampai|hingga|to)\s?[0-9]{1,2}[.:][0-9]{2}(?![0-9])
      # Codes of a company: psr-25-136-0652-08834
    | [a-z]{2,}+-(?!0|62)[0-9]{1,2}-[0-9][0-9\-]*+
      # Prices of coins: 0.00001234567
    | (?!0[0-9]|62\.8)[0-9]{1,3}[.,][0-9]{4,}+(?![.\-]?[0-9])
"""
_GAP = r"[\ .()\-_/*]{0,3}"
_ZERO = r"(?:0|(?<![a-z])o)"
_COUNTRY = r"(?:\+|00)?62"
_AREA = r"[2-79][0-9]{1,2}"
_MOBILE = rf"8{_GAP}[1-35-9]"
_PHONE = rf"""
      # Mobile: in one piece first, so that a number behind it stays
      (?:{_ZERO}|{_COUNTRY})8[1-35-9][0-9]{{7,10}}(?![0-9])
    | {_ZERO}{_GAP}{_MOBILE}(?:{_GAP}[0-9]){{7,10}}(?![0-9])
    | {_COUNTRY}{_GAP}(?:0{_GAP})?{_MOBILE}(?:{_GAP}[0-9]){{6,10}}(?![0-9])(?<!000)
      # With an area code
    | (?<!-)(?:\(0{_AREA}\)|(?:0|62[\ \-]){_AREA})[\ .\-]{{1,3}}[0-9]{{3,4}}(?:[\ .\-]?[0-9]){{2,5}}(?![0-9])(?<!000)
      # Of other countries
    | \+[1-9][0-9]{{0,2}}(?:{_GAP}[0-9]){{7,12}}(?![0-9])(?<!000)
"""
_CALL = r"wa|w\.a|whats\s?app|hp|hape|telp?|telpo?n|telepon|tlpn?|phone|hubungi|call|kontak|contact|sms"
_BANK = (
    r"no\.?\s?rek|norek|rek|rekening|bca|bri|bni|bsi|btn|mandiri|cimb|permata|danamon|jago|jenius|seabank|va|"
    r"virtual\s?account|go-?pay|ovo|dana|link\s?aja|shopee\s?pay|spay|atm|kartu|nik|ktp|npwp"
)
_TAX_NUMBER = r"[0-9]{2}\.[0-9]{3}\.[0-9]{3}\.[0-9]-[0-9]{3}\.[0-9]{3}(?![0-9])"
_AFTER_WORD = rf"""
    (?<![a-z])(?P<head>
      (?:(?P<call>{_CALL})|(?P<person>nik|ktp|npwp)|{_BANK})(?:ku|nya|mu)?(?![a-z])
      (?:[^0-9\[\n+(]|\((?!0)){{0,24}}
    )
    (?!{_PHONE}|{_TAX_NUMBER})
    (?P<tail>[0-9]{{1,9}}(?P<c>[\ .\-])[0-9]{{1,9}}(?:(?P=c)[0-9]{{1,9}}){{0,10}}(?![0-9])|[0-9]{{9,}}+)
"""
_COUNTED = r"(?:rupiah|perak|idr|juta|ribu|poin|koin|coin|token|usd)"
_LONG = rf"""
      {_TAX_NUMBER}
    | [0-9]{{4}}(?P<d>[\ \-.])[0-9]{{4}}(?P=d)[0-9]{{4}}(?P=d)[0-9]{{4}}(?:(?P=d)[0-9]{{1,4}})?(?![0-9])
    | 3[47][0-9]{{2}}(?P<e>[\ \-])[0-9]{{6}}(?P=e)[0-9]{{5}}(?![0-9])
    | (?<![a-z0-9_])[0-9]{{10,}}+(?![a-z]*+[0-9]|[a-z]{{1,2}}\b|\s?{_COUNTED})
"""
_BEGIN = r"(?:(?=[0-9(+$])|(?<![a-z])(?=[a-z]))"
_WITHOUT_WORD = re.compile(
    rf"{_BEGIN} (?:{_NOT_PERSONAL} | (?P<phone>{_PHONE}) | (?P<long>{_LONG}) | [0-9]++)", re.IGNORECASE | re.VERBOSE
)
_NUMBER = re.compile(
    rf"{_BEGIN} (?:{_NOT_PERSONAL} | (?P<phone>{_PHONE}) | {_AFTER_WORD} | (?P<long>{_LONG}) | [0-9]++)",
    re.IGNORECASE | re.VERBOSE,
)
_MONEY = re.compile(r"(?<![a-z])(?:rp|idr|usd)|\$", re.IGNORECASE)
_AMOUNT = re.compile(r"[1-9][0-9]{0,2}(?:\.[0-9]{3})+|[0-9]+0{4}|(?:[0-9]+[ .\-])+[0-9]+000|([0-9])\1+")
_PRICES_OR_YEARS = re.compile(r"(?:[0-9]+00[ .\-])+[0-9]+00|(?:(?:19|20)[0-9]{2}[ .\-])+(?:19|20)[0-9]{2}")
_TIME = re.compile(r"20[0-3]\d(?:0[1-9]|1[0-2])(?:[0-2]\d|3[01])(?:[01]\d|2[0-3])[0-5]\d(?:[0-5]\d)?")
_NIK = re.compile(r"[1-9][1-9]\d{4}(?:[04][1-9]|[1256]\d|[37][01])(?:0[1-9]|1[0-2])\d{6}")
_CARD = re.compile(r"4\d{12}(?:\d{3}){0,2}|(?:5[0-8]|2[2-7]|35)\d{14}|3[47]\d{13}|6\d{15,18}")


def mask(text: str) -> str:
    """The text with personal data replaced by `[phone]`, `[email]`, `[card]`, `[account]` and `[id]`."""
    # Nearly all texts end here, for a microsecond each.
    folded = text if text.isascii() else unicodedata.normalize("NFKC", text)
    if _MAY_HAVE_EMAIL.search(folded):
        text = _replaced(text, _emails)
    if _MAY_HAVE_NUMBER.search(folded):
        # A mask can shorten what another pattern looks at: look again until nothing is found.
        while (masked := _replaced(text, _numbers)) != text:
            text = masked
    return text


def masks_in(text: str) -> Counter[str]:
    """How many masks of each kind the text holds."""
    return Counter(_MASKS.findall(text)) if "[" in text else Counter()


def _replaced(text: str, spans: Callable[[str], Iterator[Span]]) -> str:
    plain, places = (text, None) if text.isascii() else _plain(text)
    parts, end = list[str](), 0
    for start, after, kind in spans(plain):
        parts += [text[end : places[start] if places else start], f"[{kind}]"]
        end = places[after] if places else after
    return "".join([*parts, text[end:]]) if parts else text


def _emails(text: str) -> Iterator[Span]:
    end = 0
    for found in _FROM_AT_ON.finditer(text):
        # Backwards from the @: forwards, every word of the text would be tried as the beginning of an address.
        before = text[max(end, found.start() - _LONGEST_LOCAL) : found.start()][::-1]
        local = _BEFORE_AT_BACKWARDS.match(before)
        # `masuk pakai @gmail.com` is no address, `budi99 @ gmail.com` is.
        if local and not (found["apart"] and local[0].isalpha()):
            end = found.end()
            yield found.start() - len(local[0]), end, "email"


def _numbers(text: str, tokens: re.Pattern[str] = _NUMBER) -> Iterator[Span]:
    for found in tokens.finditer(text):
        groups = found.groupdict()
        if groups["phone"]:
            yield *found.span(), "phone"
        elif groups["long"]:
            if kind := _kind(groups["long"]):
                yield *found.span(), kind
        elif number := groups.get("tail"):
            start, end = found.span("tail")
            if not _MONEY.search(found["head"]) and (kind := _kind_after_word(number, groups)):
                yield start, end, kind
            else:
                yield from ((start + a, start + b, kind) for a, b, kind in _numbers(number, _WITHOUT_WORD))


def _kind_after_word(number: str, groups: dict[str, str | None]) -> str | None:
    digits = re.sub(r"\D", "", number)
    if len(digits) < 9 or _AMOUNT.fullmatch(number) or _PRICES_OR_YEARS.fullmatch(number):
        return None
    if any(_AMOUNT.fullmatch(part) for part in number.split(" ")[:-1]):
        return None
    if groups["call"] and digits.startswith(("0", "62", "8")):
        return "phone"
    if groups["call"] and len(digits) < 10:
        return None
    return "id" if groups["person"] else _kind(digits)


def _kind(number: str) -> str | None:
    """The kind of a number of ten digits or more; None if it is an amount, a time, years, or one digit repeated."""
    digits = re.sub(r"\D", "", number)
    # Cards that begin with 35 are rare here, identity cards of East Java are not.
    if _CARD.fullmatch(digits) and _passes_luhn(digits) and not (digits.startswith("35") and _NIK.fullmatch(digits)):
        return "card"
    if _AMOUNT.fullmatch(digits) or _PRICES_OR_YEARS.fullmatch(number) or _TIME.fullmatch(number):
        return None
    return "id" if _NIK.fullmatch(digits) or re.fullmatch(_TAX_NUMBER, number) else "account"


def _passes_luhn(digits: str) -> bool:
    """Whether the last digit is the check digit that every payment card has."""
    values = [int(digit) for digit in reversed(digits)]
    return sum(values[::2] + [sum(divmod(2 * value, 10)) for value in values[1::2]]) % 10 == 0


def _plain(text: str) -> tuple[str, list[int]]:
    """The text with plain digits, letters and dashes and without invisible characters; the place of each character."""
    plain, places = list[str](), list[int]()
    for place, character in enumerate(text):
        if replacement := _plain_character(character):
            plain.append(replacement)
            places.append(place)
    return "".join(plain), [*places, len(text)]


@lru_cache(maxsize=4096)
def _plain_character(character: str) -> str:
    category = unicodedata.category(character)
    if category in ("Cf", "Mn", "Me"):
        return ""
    if category == "Pd" or character == "\N{MINUS SIGN}":
        return "-"
    if category == "Zs":
        return " "
    folded = unicodedata.normalize("NFKC", character)
    if folded.isdecimal() and len(folded) == 1:
        return str(unicodedata.decimal(folded))
    return folded if len(folded) == 1 else character
