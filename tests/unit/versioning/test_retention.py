"""Retention never removes what something can still reach; the table of cases and a property over random histories."""

import itertools
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.failures import PermanentFailure
from mlops_assets.params.operations import RetentionRules
from mlops_assets.versioning.retention import plan_retention, removable
from mlops_assets.versioning.versions import Version

NOW = datetime(2026, 11, 1, tzinfo=UTC)
OUTPUTS = ("data/raw", "data/validated", "models/bert", "models/classic")


def version(
    number: int, days_ago: float, data: str, model: str, trained_on: str | None = None, older: str | None = None
) -> Version:
    """`older`: data that the classic model was trained on, where it is not `trained_on`."""
    return Version(
        commit=f"{number:040x}",
        at=NOW - timedelta(days=days_ago),
        subject="",
        run_id="r",
        dataset_version=data,
        models={"bert": f"bert-{model}", "classic": f"classic-{model}"},
        models_dataset_version=trained_on or data,
        trained_on={} if older is None else {"bert": trained_on or data, "classic": older},
        objects={
            "data/raw": f"raw-{data}.dir",
            "data/validated": f"validated-{data}.dir",
            "models/bert": f"bert-{model}.dir",
            "models/classic": f"classic-{model}.dir",
        },
    )


def kept(*versions: Version, deployed: tuple[str, ...] = (), pinned: Mapping[str, str] | None = None) -> dict[str, str]:
    plan = plan_retention(versions, now=NOW, rules=RetentionRules(), deployed=deployed, pinned=pinned or {})
    assert plan.keep.keys().isdisjoint(plan.drop)
    return dict(plan.keep)


def test_the_anchor_s_model_stays_and_its_data_may_go() -> None:
    versions = [version(3, 1, "c", "c"), version(2, 200, "b", "b"), version(1, 300, "a", "a")]
    rules = RetentionRules(predecessors=0)
    plan = plan_retention(versions, now=NOW, rules=rules, deployed=["classic-c"], pinned={}, anchors=["classic-a"])
    assert {name for name, why in plan.keep.items() if why == "anchor"} == {versions[2].objects["models/classic"]}
    assert versions[2].objects["data/raw"] in plan.drop
    assert versions[2].objects["models/bert"] in plan.drop


def test_an_anchor_that_stays_for_another_reason_too_must_be_there() -> None:
    plan = plan_retention(
        [version(1, 1, "a", "a")], now=NOW, rules=RetentionRules(), deployed=(), pinned={}, anchors=["classic-a"]
    )
    assert set(plan.keep.values()) == {"current"}


def test_what_is_current_stays_however_old() -> None:
    assert set(kept(version(1, 5_000, "a", "a")).values()) == {"current"}


@pytest.mark.parametrize(
    ("replaced_days_ago", "data_stays", "models_stay"),
    [(29, True, True), (30, True, True), (30.01, False, True), (90, False, True), (90.01, False, False)],
)
def test_days_count_from_the_replacement_and_the_limit_is_kept(
    replaced_days_ago: float, data_stays: bool, models_stay: bool
) -> None:
    stays = kept(version(2, replaced_days_ago, "b", "b"), version(1, 5_000, "a", "a"))
    assert ("raw-a.dir" in stays) is data_stays
    assert ("bert-a.dir" in stays) is models_stay


def test_days_count_for_each_version_from_its_own_replacement() -> None:
    stays = kept(version(3, 1, "c", "c"), version(2, 100, "b", "b"), version(1, 5_000, "a", "a"))
    assert {name for name in stays if "-a" in name} == set()
    assert {name for name in stays if "-b" in name} == {"raw-b.dir", "validated-b.dir", "bert-b.dir", "classic-b.dir"}


def test_what_serves_its_predecessors_and_the_data_they_were_trained_on_stay() -> None:
    history = [version(n, 1_000 - n, f"d{n}", f"m{n}", trained_on=f"d{n - 1}") for n in range(9, 0, -1)]
    stays = kept(*history, deployed=("bert-m4", "classic-m3", "bert-m2", "bert-m1"))
    assert stays["bert-m4.dir"] == "serves"
    assert stays["classic-m3.dir"] == "rollback"
    assert "validated-d3.dir" in stays  # what m4 was trained on
    assert "bert-m2.dir" in stays
    assert "bert-m1.dir" not in stays  # the third predecessor; the rule keeps two
    assert "bert-m5.dir" not in stays


def test_the_data_of_a_serving_model_stays_although_the_other_model_was_trained_anew() -> None:
    history = [
        version(3, 200, "c", "m3"),
        version(2, 400, "b", "m2", older="a"),
        version(1, 600, "a", "m2"),
    ]
    stays = kept(*history, deployed=("classic-m2",))
    assert stays["classic-m2.dir"] == stays["validated-a.dir"] == "serves"
    assert "validated-b.dir" in kept(*history, deployed=("bert-m2",))
    assert "validated-a.dir" not in kept(*history, deployed=("bert-m2",))


def test_what_a_tag_names_stays_and_a_name_shared_with_a_kept_version_stays() -> None:
    old = version(1, 5_000, "a", "a")
    stays = kept(version(2, 4_000, "a", "b"), old, pinned={"bert-a.dir": "refs/tags/v1"})
    assert stays == {
        "bert-a.dir": "refs/tags/v1", "raw-a.dir": "current", "validated-a.dir": "current",
        "bert-b.dir": "current", "classic-b.dir": "current",
    }  # fmt: skip


def test_unknown_objects_go_only_from_a_store_of_our_own_and_only_when_old() -> None:
    stored = {"needed": 9e9, "dropped": 1.0, "unknown-old": 86_400.0, "unknown-young": 86_399.0, "unknown-age": None}
    rules = RetentionRules(unknown_days=1)
    ours = removable(stored, needed={"needed"}, dropped={"dropped", "needed"}, unknown_too=True, rules=rules)
    shared = removable(stored, needed={"needed"}, dropped={"dropped", "needed"}, unknown_too=False, rules=rules)
    assert ours == ["dropped", "unknown-old"]
    assert shared == ["dropped"]


names = st.sampled_from("abcdef")


@st.composite
def histories(draw: st.DrawFn) -> list[Version]:
    ages = sorted(draw(st.lists(st.floats(0, 400), min_size=1, max_size=12)))
    older = st.none() | names
    return [
        version(len(ages) - n, age, draw(names), draw(names), trained_on=draw(names), older=draw(older))
        for n, age in enumerate(ages)
    ]


@given(
    history=histories(),
    deployed=st.lists(st.sampled_from([f"{kind}-{n}" for kind in ("bert", "classic") for n in "abcdef"]), max_size=5),
    tagged=st.lists(st.integers(0, 11), max_size=3),
    rules=st.builds(
        RetentionRules,
        data_days=st.integers(0, 60),
        models_days=st.integers(0, 200),
        runs_days=st.integers(0, 3),
        predecessors=st.integers(0, 3),
    ),
    files=st.dictionaries(
        st.sampled_from([f"{k}-{n}.dir" for k in ("raw", "validated", "bert", "classic") for n in "abcdef"]),
        st.sets(st.integers(0, 9).map(lambda n: f"file-{n}")),
        max_size=24,
    ),
    age_s=st.floats(0, 1e6),
    ours=st.booleans(),
)
def test_nothing_reachable_is_ever_removed(
    history: list[Version], deployed: list[str], tagged: list[int], rules: RetentionRules,
    files: dict[str, set[str]], age_s: float, ours: bool,
) -> None:  # fmt: skip
    pinned = {
        name: "refs/tags/t" for place in tagged if place < len(history) for name in history[place].objects.values()
    }
    plan = plan_retention(history, now=NOW, rules=rules, deployed=deployed, pinned=pinned)

    def objects(folders: set[str]) -> set[str]:
        return folders | {name for folder in folders for name in files.get(folder, ())}

    # Said again, from the other side: for every object the moments and names that still reach it.
    reachable = set(history[0].objects.values()) | set(pinned)
    for newer, older in itertools.pairwise(history):
        for output, name in older.objects.items():
            days = rules.data_days if output.startswith("data/") else rules.models_days
            if (NOW - newer.at) <= timedelta(days=days):
                reachable.add(name)
    for model in deployed[: rules.predecessors + 1]:
        holders = [held for held in history if model in held.models.values()]
        reachable |= {name for held in holders[:1] for output, name in held.objects.items() if output[7:] in model}
        kind = model.split("-")[0]
        data = [held.trained_on.get(kind, held.models_dataset_version) for held in holders[:1]]
        trained = [held for held in history if held.dataset_version in data]
        reachable |= {name for held in trained[:1] for output, name in held.objects.items() if output[:4] == "data"}

    everything = {name for held in history for name in held.objects.values()}
    stored = dict.fromkeys(objects(everything) | {"file-0", "file-9", "stranger"}, age_s)
    gone = set(
        removable(
            stored, needed=objects(set(plan.keep)), dropped=objects(set(plan.drop)), unknown_too=ours, rules=rules
        )
    )
    assert gone.isdisjoint(objects(reachable))
    assert plan.keep.keys() | plan.drop.keys() >= everything
    assert ours or "stranger" not in gone


@pytest.mark.parametrize(
    ("section", "said"),
    [({"data_day": 3}, "data_day is no parameter"), ({"data_days": -1}, "got -1"), ({"models_days": "9"}, "got '9'"),
     ({"predecessors": True}, "got True")],
)  # fmt: skip
def test_nonsense_rules_are_refused(section: dict[str, object], said: str) -> None:
    with pytest.raises(PermanentFailure, match=said):
        RetentionRules.from_params(section)
