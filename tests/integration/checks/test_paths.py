"""On which ways of running the checks are judged, and how a person releases what one of them stopped."""

import json
import re
from collections.abc import Callable

import dagster as dg
import pandas as pd
import pytest

from mlops_assets.assets.partitions import range_tags
from mlops_assets.document import text_of_markdown
from mlops_assets.reviews.stored import columns
from mlops_assets.reviews.stored.store import ReviewStore
from mlops_assets.versioning.git.history import GitHistory
from tests.integration.checks.checked_clone import APP, MONTHS, NOW, RESTS, CheckedClone, failed, validated
from tests.integration.checks.violations import (
    MUTATIONS,
    OF_VALIDATED,
    a_torn_feed,
    another_type_upstream,
    arrive,
    everyone_is_happy,
    rows_vanish,
    the_new_ones_are_unhappy,
)
from tests.user_clone import git, write_params

ONE_MONTH = {"dagster/partition": f"{APP}|2026-02"}


@pytest.mark.parametrize(
    ("assets", "job", "tags", "judged"),
    [
        pytest.param(["validated_reviews"], "pipeline", ONE_MONTH, OF_VALIDATED, id="one asset, one month"),
        pytest.param(["validated_reviews"], "pipeline", None, OF_VALIDATED, id="one asset, a range"),
        pytest.param(RESTS, "pipeline", None, set(MUTATIONS), id="pipeline"),
        pytest.param(RESTS[1:], "refresh_models", None, OF_VALIDATED, id="refresh_models"),
    ],
)
def test_the_checks_are_judged_on_every_path(
    clone: CheckedClone, assets: list[str], job: str, tags: dict[str, str] | None, judged: set[str]
) -> None:
    rows_vanish(clone)
    result = clone.run(assets, job, tags)
    assert {one.check_name for one in result.get_asset_check_evaluations()} == judged
    assert failed(result) == {"no_review_is_lost"}
    assert not result.success
    assert len(clone.repository.commits) == 1


@pytest.mark.parametrize(
    ("trigger", "job", "judged"),
    [("every_six_hours", "pipeline", set(MUTATIONS)), ("run_on_git_change", "refresh_models", OF_VALIDATED)],
)
def test_the_checks_hold_for_what_a_trigger_starts(
    clone: CheckedClone, trigger: str, job: str, judged: set[str]
) -> None:
    rows_vanish(clone)
    request = _asked_by(clone, trigger)
    result = clone.run(None, job, dict(request.tags))
    assert {one.check_name for one in result.get_asset_check_evaluations()} == judged
    assert failed(result) == {"no_review_is_lost"}
    assert not result.success
    assert len(clone.repository.commits) == 1


def _asked_by(clone: CheckedClone, trigger: str) -> dg.RunRequest:
    definitions, settings = clone.definitions(), clone.settings
    shared = {
        "settings": settings,
        "review_source": clone.source,
        "git_history": GitHistory(clone.root),
        "code_location": object(),
    }
    with dg.instance_for_test() as instance:
        if trigger == "every_six_hours":
            schedule = definitions.resolve_schedule_def(trigger)
            with dg.build_schedule_context(
                instance=instance,
                resources={"review_source": clone.source},
                scheduled_execution_time=settings.now(),
            ) as context:
                [request] = schedule.evaluate_tick(context).run_requests or []
                return request
        head = git(clone.root, "rev-parse", "HEAD")
        write_params(clone.root, evaluate={"rounds": 201})
        git(clone.root, "commit", "--quiet", "--all", "--message", "another parameter")
        cursor = json.dumps({"head": head, "runs": 0})
        with dg.build_sensor_context(
            instance=instance, cursor=cursor, definitions=definitions, resources=shared
        ) as context:
            [request] = definitions.resolve_sensor_def(trigger).evaluate_tick(context).run_requests or []
            return request


@pytest.mark.parametrize("violation", [a_torn_feed, another_type_upstream], ids=lambda it: it.__name__)
@pytest.mark.parametrize(
    ("assets", "job", "tags"),
    [
        pytest.param(RESTS[1:], "refresh_models", None, id="refresh_models"),
        pytest.param(RESTS[1:], "pipeline", {"dagster/partition": f"{APP}|2026-02"}, id="one month"),
        pytest.param(RESTS[2:], "pipeline", {}, id="one asset"),
    ],
)
def test_what_the_collection_checks_stop_reaches_no_version_where_nothing_is_collected(
    clone: CheckedClone,
    violation: Callable[[CheckedClone], None],
    assets: list[str],
    job: str,
    tags: dict[str, str] | None,
) -> None:
    """There would be a version to make: something is new in February."""
    everyone_votes(clone)
    violation(clone)
    result = clone.run(assets, job, tags)
    assert not result.success
    assert len(clone.repository.commits) == 1
    check = next(name for name, breaks in MUTATIONS.items() if breaks is violation)
    [step] = result.get_failed_step_keys()
    message = str(result.failure_data_for_node(step).user_failure_data)
    assert (check if step == "versioned_dataset" else "must be int64") in message


def everyone_votes(clone: CheckedClone) -> None:
    path = clone.root / "data" / "raw" / APP / "2026-02.parquet"
    columns.write_frame(columns.conform(columns.read_frame(path).assign(thumbs_up=1)), path)


def test_a_review_that_an_edit_moved_out_of_the_runs_range_is_there_once(clone: CheckedClone) -> None:
    store = ReviewStore(clone.root / "data" / "raw")
    one = columns.read_frame(store.path(APP, "2026-01")).head(1)
    edited = one.assign(
        review_text="diubah: jelek sekali",
        review_date=pd.Timestamp("2026-03-28", tz="UTC"),
        scraped_at=pd.Timestamp(NOW),
    )
    store.upsert(APP, columns.conform(edited))
    result = clone.run(RESTS[1:], "refresh_models", range_tags(clone.settings, [APP], "2026-03", "2026-03"))
    assert failed(result) == set()
    assert len(clone.repository.commits) == 2
    found = validated(clone)
    assert found["review_id"].is_unique
    assert found.loc[found["review_id"] == one["review_id"].iloc[0], "review_text"].tolist() == ["diubah: jelek sekali"]


def test_a_month_whose_usable_reviews_are_gone_is_validated_again_by_any_run(clone: CheckedClone) -> None:
    data = clone.root / "data" / "validated" / APP
    for path in (data / "2026-01.parquet", data / ".validation" / "2026-01.json"):
        path.unlink()
    usable = len(validated(clone))
    result = clone.run(RESTS[1:], "pipeline", ONE_MONTH)
    assert result.success
    assert failed(result) == set()
    assert len(validated(clone)) > usable


def test_the_version_alone_refuses_what_its_checks_would_stop(clone: CheckedClone) -> None:
    everyone_is_happy(clone)
    assert failed(clone.run(["validated_reviews"])) == {"positive_share_is_normal"}
    result = clone.run(["versioned_dataset"], tags={})
    assert not result.success
    message = result.failure_data_for_node("versioned_dataset").user_failure_data.description
    assert message.startswith(f"positive_share_is_normal: {APP}: 100.0% of")
    assert len(clone.repository.commits) == 1


def _write_printed_line(clone: CheckedClone, message: str) -> None:
    """What a person does who pastes the line that the error prints."""
    line = message[message.index("validation: {") :]
    path = clone.root / "params.yaml"
    text = path.read_text(encoding="utf-8")
    text, replaced = re.subn("(?m)^validation:.*\n(  .*\n)*", lambda _: f"{line}\n", text)
    assert replaced == 1
    path.write_text(text, encoding="utf-8")


def test_an_app_outside_30_to_90_percent_is_released_by_the_line_that_the_error_prints(clone: CheckedClone) -> None:
    deleted = pd.Timestamp(NOW)
    clone.change_raw(
        lambda rows: rows.assign(
            deleted_at=rows["deleted_at"].mask((rows["rating"] < 3) & (rows.index % 10 > 0), deleted)
        )
    )
    [one] = [one for one in clone.run().get_asset_check_evaluations() if not one.passed]
    assert one.check_name == "positive_share_is_normal"
    _write_printed_line(clone, text_of_markdown(str(one.description)))
    assert failed(clone.run()) == set()
    assert len(clone.repository.commits) == 2


def test_a_sudden_change_is_released_by_the_line_that_the_error_prints_and_the_next_one_is_not(
    clone: CheckedClone,
) -> None:
    until_april = range_tags(clone.settings, [APP], MONTHS[0], "2026-04")
    the_new_ones_are_unhappy(clone)
    spike = {"negative_reviews_are_as_usual"}  # so many unhappy reviews in a day are one as well, which stops nothing
    checks = clone.run().get_asset_check_evaluations()
    [one] = [one for one in checks if one.check_name not in spike and not one.passed]
    _write_printed_line(clone, text_of_markdown(str(one.description)))
    assert failed(clone.run()) - spike == set()
    arrive(clone, "2026-04-01T01:00Z", unhappy=True)
    assert failed(clone.run(tags=until_april)) - spike == set()
    assert len(clone.repository.commits) == 3
    arrive(clone, "2026-04-03T01:00Z", unhappy=False)
    assert failed(clone.run(tags=until_april)) - spike == {"positive_share_is_steady"}
    assert len(clone.repository.commits) == 3


def test_the_version_alone_refuses_a_sudden_change(clone: CheckedClone) -> None:
    the_new_ones_are_unhappy(clone)
    clone.run(["validated_reviews"])
    result = clone.run(["versioned_dataset"], tags={})
    message = result.failure_data_for_node("versioned_dataset").user_failure_data.description
    assert message.startswith(f"positive_share_is_steady: {APP}: 0.0% of ")
    assert len(clone.repository.commits) == 1
