import pytest

from mlops_assets.deploy.history import Entry, NoWayBack, choose

LAST = [Entry("t", "process", version, f"model-{version}", "d", "run", "live", "") for version in ("c", "b", "a")]


@pytest.mark.parametrize(
    ("live", "to", "chosen"),
    [("c", None, "b"), ("b", None, "c"), (None, None, "c"), ("c", "a", "a"), ("c", "model-a", "a"), ("c", "c", "c")],
)
def test_it_returns_to_the_newest_other_release_or_the_named_one(live, to, chosen):
    assert choose(LAST, live, to).release_version == chosen


@pytest.mark.parametrize(("last", "live", "to"), [(LAST, "c", "x"), (LAST[:1], "c", None), ([], None, None)])
def test_what_is_not_known_is_refused_with_what_is(last, live, to):
    with pytest.raises(NoWayBack, match=r"none|known are"):
        choose(last, live, to)
