"""People name topics in topics.yaml; a wrong file is refused with what to do."""

import pytest

from mlops_assets.failures import BadSetting
from mlops_assets.reviews.topics.names import read_names

GIVEN = {"negative": 12, "positive": 3}


def test_names_are_read_and_no_file_is_no_name(tmp_path):
    path = tmp_path / "topics.yaml"
    assert read_names(path, GIVEN) == {}
    path.write_text("", encoding="utf-8")
    assert read_names(path, GIVEN) == {}
    path.write_text("negative-12: Login & kode\npositive-1: ' Mudah '\n", encoding="utf-8")
    assert read_names(path, GIVEN) == {"negative-12": "Login & kode", "positive-1": "Mudah"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "negative-13: X",
            "names negative-13, which was never a topic; known are negative-1 to negative-12, positive-1",
        ),
        ("neutral-1: X", "names neutral-1, which was never a topic"),
        ("3: X", "names 3, which was never a topic"),
        ("negative-1: [a]", "negative-1 must be text of 1 to 60 characters, got ['a']"),
        ("negative-1: ''", "negative-1 must be text of 1 to 60 characters, got ''"),
        (f"negative-1: {'x' * 61}", "negative-1 must be text of 1 to 60 characters"),
        ("- negative-1", "must name topics, one a line, such as negative-3: Login and codes"),
        ("negative-1: a\nnegative-1: b", "negative-1 stands twice, in line 1 and in line 2"),
        ("negative-1: 'a", "topics.yaml cannot be read"),
    ],
)
def test_a_wrong_file_is_refused_with_the_value_and_the_rule(text, said, tmp_path):
    path = tmp_path / "topics.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadSetting) as refused:
        read_names(path, GIVEN)
    assert said in str(refused.value)
