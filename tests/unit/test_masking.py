"""Personal data in texts becomes masks; what only looks like it stays."""

import re
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.masking import KINDS, mask, masks_in

SAMPLE = (Path(__file__).parent / "masking_sample.txt").read_text(encoding="utf-8").splitlines()
"""Invented texts; `{phone:0812…}` marks what is personal. Some are there that no pattern finds."""

MARKED = re.compile(r"\{(\w+):([^}]+)\}")
LEAST_PRECISION, LEAST_RECALL = 0.97, 0.95


def test_each_kind_is_found_in_the_sample_with_few_misses_and_hardly_a_false_alarm():
    right, found, wanted = Counter[str](), Counter[str](), Counter[str]()
    for line in SAMPLE:
        masked = masks_in(mask(MARKED.sub(lambda mark: mark[2], line)))
        marked = Counter(mark[1] for mark in MARKED.finditer(line))
        right, found, wanted = right + (masked & marked), found + masked, wanted + marked
    assert len(SAMPLE) > 200
    assert set(wanted) == set(KINDS)
    for kind in KINDS:
        assert right[kind] >= LEAST_PRECISION * found[kind], f"{kind}: {right[kind]} right of {found[kind]} found"
        assert right[kind] >= LEAST_RECALL * wanted[kind], f"{kind}: {right[kind]} found of {wanted[kind]}"


def test_a_text_without_personal_data_stays_as_it_is():
    changed = [(line, mask(line)) for line in SAMPLE if not MARKED.search(line) and mask(line) != line]
    assert changed == []


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("saldo Rp 1.500.000, hubungi 0812-0000-1111 (WA)", "saldo Rp 1.500.000, hubungi [phone] (WA)"),
        ("gopay 50.000 081200001111 dan 15.000", "gopay 50.000 [phone] dan 15.000"),
        ("hubungi +62 813-0000-3333", "hubungi [phone]"),
        ("081200001111 081300002222", "[phone] [phone]"),
        ("[name].[name]@[name].co.id, 0812 0000 1111", "[email], [phone]"),
        ("pemula...@contoh.cv792", "pemula...@contoh.cv792"),
        ("👍0\u200b812 0000 1111\u200b 👍", "👍[phone] 👍"),
        ("Ｅ－ｍａｉｌ： ａ＠ｂ．ｃｏｍ １２３", "Ｅ－ｍａｉｌ： [email] １２３"),
        ("rek 1234567890\n081200001111", "rek [account]\n[phone]"),
        ("", ""),
    ],
)
def test_only_the_personal_part_of_a_text_is_replaced(text, masked):
    assert mask(text) == masked


PIECES = st.sampled_from(
    ["0812", "3456", "7890", "+62", "62", "8", "0", " ", "-", ".", "(", ")", "@", "a", "gmail", ".com", " at ", "rek ",
     "wa", "Rp", "[name]", "[phone]", "000", "1.500.000", "2023", "/", ",", "\u200b", "４", "\n", "12-10-2023", "_"]
)  # fmt: skip


@settings(max_examples=1000)
@given(st.lists(PIECES, max_size=25).map("".join))
def test_masking_again_changes_nothing_so_a_stored_review_equals_its_source(text):
    assert mask(mask(text)) == mask(text)


@settings(max_examples=200)
@given(st.text(st.characters(codec=None, exclude_categories=[]), max_size=60))
def test_any_text_can_be_masked(text):
    assert mask(mask(text)) == mask(text)


@pytest.mark.parametrize(
    "piece", ["1", "1 ", "1.", "0812-", "a@", "@", "(", "+1", "rek 1 ", "a at ", "1\u200b", "081200001111-", "ab-1-",
              "[name]", "gopay 123456789 15.000 081200001111 ", ".1234567890"]
)  # fmt: skip
def test_a_hostile_text_takes_time_in_proportion_to_its_length(piece):
    def seconds(length: int) -> float:
        text = (piece * length)[:length] + "@123456789"
        began = time.process_time()
        mask(text)
        return time.process_time() - began

    # Quadratic time would make the long text take a hundred times as long.
    assert seconds(100_000) < 40 * max(seconds(10_000), 0.005)


def test_masks_are_counted_by_kind():
    assert masks_in("[phone] atau [phone], [email] [name]") == {"phone": 2, "email": 1}
