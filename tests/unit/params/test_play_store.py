import pytest

from mlops_assets.failures import BadSetting
from mlops_assets.params.reviews import CollectOptions


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"langauge": "id"}, "langauge is no parameter"),
        ({"language": "Indonesian!"}, "language"),
        ({"country": False}, "country"),
        ({"country": "IDN"}, "country"),
        ({"requests_per_second": 0}, "requests_per_second must be a number from 0.001 to 1000, got 0"),
        ({"requests_per_second": "5"}, "requests_per_second"),
        ({"retries": 2.5}, "retries must be a whole number"),
        ({"retries": True}, "retries"),
        ({"overlap_days": float("nan")}, "overlap_days"),
        ({"deletions_percent": 101}, "deletions_percent"),
        ({"accept_deletions": "yes"}, "accept_deletions"),
        ({"user_agent": "a\nb"}, "user_agent"),
    ],
)
def test_nonsense_is_refused_by_name(section, said):
    with pytest.raises(BadSetting, match=said):
        CollectOptions.from_params(section)


@pytest.mark.parametrize(
    "section", [{}, {"country": "us", "language": "pt-BR"}, {"deletions_percent": 0, "overlap_days": 0}]
)
def test_sense_is_taken(section):
    assert CollectOptions.from_params(section)
