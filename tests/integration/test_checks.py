"""Every declared check, broken on purpose in the data: that check alone fails, and stops the version or only warns."""

import itertools
import json
import re
import shutil
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from mlops_assets.assets.partitions import range_tags
from mlops_assets.definitions import build_definitions
from mlops_assets.params.reviews import DriftOptions
from mlops_assets.reporting.notifier import Notifier
from mlops_assets.reviews.drift.drift import recent
from mlops_assets.reviews.drift.history import read_history
from mlops_assets.reviews.drift.profile import Profile
from mlops_assets.reviews.files.balance import NO_FILES, Balances
from mlops_assets.reviews.files.files import read_reviews
from mlops_assets.reviews.quality.validate import _Files
from mlops_assets.reviews.sources import sample
from mlops_assets.reviews.stored import columns
from mlops_assets.reviews.stored.predictions import About, predict, write
from mlops_assets.reviews.stored.store import ReviewStore
from mlops_assets.settings import Settings
from mlops_assets.steps.judge_drift import compare_with_training
from mlops_assets.steps.refresh_dashboards import Dashboards
from mlops_assets.trained_on import TrainedOn
from mlops_assets.versioning.git.history import GitHistory
from tests.fakes.service import fake_service
from tests.fakes.version_repository import FakeVersionRepository
from tests.shared_data import SHARED_DATA
from tests.unit.reporting.summaries import FAILED, summary
from tests.unit.reporting.summaries import write as write_summaries
from tests.user_clone import git, make_clone, settings_of, write_params

APP, MONTHS = "com.valar.pintu", ("2026-01", "2026-03")
NOW = "2026-04-15T00:00:00Z"
REVIEWS = 1200
RESTS = ["raw_reviews", "validated_reviews", "versioned_dataset"]


@dataclass(frozen=True)
class AppStatus:
    app_id: str
    status: str = "whole"
    reason: str = "read"


@dataclass
class StoredReviews:
    """A source that brings nothing: the reviews lie in the store already."""

    name: str = "file"
    apps_shown: Sequence[AppStatus] = (AppStatus(APP),)

    def apps(self) -> Sequence[str]:
        return (APP,)

    def months(self) -> tuple[str, str]:
        return MONTHS

    def collect(self, *_: Any) -> list[Any]:
        return []

    def statuses(self, _: ReviewStore) -> Sequence[AppStatus]:
        return self.apps_shown

    def incomplete(self, _: ReviewStore) -> Sequence[AppStatus]:
        return [one for one in self.apps_shown if one.status == "partial"]

    def balances(self) -> Balances:
        return NO_FILES


@dataclass
class Place:
    """A clone with stored reviews and a version made of them."""

    root: Path
    repository: FakeVersionRepository
    source: StoredReviews = field(default_factory=StoredReviews)
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def settings(self) -> Settings:
        return settings_of(
            self.root, NOW=NOW, SKIP_DEPLOY="1", NOTIFY_URLS="json://127.0.0.1:9/hook", **self.environment
        )

    def run(
        self, assets: Sequence[str] | None = RESTS, job: str = "pipeline", tags: dict[str, str] | None = None
    ) -> dg.ExecuteInProcessResult:
        """Run these assets (None: all of the job)."""
        with dg.DagsterInstance.ephemeral() as instance:
            return (
                self.definitions()
                .resolve_job_def(job)
                .execute_in_process(
                    instance=instance,
                    asset_selection=None if assets is None else [dg.AssetKey(name) for name in assets],
                    tags=tags or range_tags(self.settings, [APP], *MONTHS),
                    run_config={"loggers": {"console": {}}},
                    raise_on_error=False,
                )
            )

    def definitions(self) -> dg.Definitions:
        replace = {
            "review_source": self.source,
            "repository": self.repository,
            "service": fake_service(self.settings.service_folder),
        }
        return build_definitions(self.settings, replace, loggers={"console": _silent})

    def change_raw(self, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
        """Rewrite every stored month as if it had been collected so."""
        for path in sorted((self.root / "data" / "raw" / APP).glob("*.parquet")):
            columns.write_frame(columns.conform(change(columns.read_frame(path))), path)

    def change_validated(self, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
        """Rewrite every usable month, with a record that says that validation wrote it."""
        data = self.root / "data"
        for path in sorted((data / "validated" / APP).glob("*.parquet")):
            change(pd.read_parquet(path)).to_parquet(path)
            files = _Files.of(data, APP, path.stem)
            record = json.loads(files.record.read_text(encoding="utf-8"))
            files.record.write_text(json.dumps({**record, "content": files._content()}), encoding="utf-8")


@dg.logger(description="says nothing")
def _silent(_: Any) -> Any:
    import logging

    return logging.getLogger("silent")


@pytest.fixture(scope="module")
def versioned(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Real reviews where they are at hand, whose dates are dealt anew: time alone tells nothing of them."""
    folder = tmp_path_factory.mktemp("checks")
    place = Place(make_clone(folder / "clone"), FakeVersionRepository(folder / "pipeline"))
    rows = _some_reviews()
    days = np.random.default_rng(0).permutation(len(rows)) % 90
    dates = pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(days, unit="D")
    rows = rows.assign(
        app_id=APP,
        source="file",
        review_date=dates,
        scraped_at=pd.Timestamp(NOW),
        reply_date=pd.NaT,
        deleted_at=pd.NaT,
    )
    ReviewStore(place.root / "data" / "raw").upsert(APP, columns.conform(rows))
    result = place.run()
    assert failed(result) == set()
    assert len(place.repository.commits) == 1
    return place


def _some_reviews() -> pd.DataFrame:
    real = SHARED_DATA / "gojek_reviews.csv"
    if real.exists():
        return read_reviews(real, known_apps=("com.gojek.app",), app_id="com.gojek.app").frame.head(REVIEWS)
    months = [sample.generate(f"2026-{month:02d}") for month in range(1, 10)]
    return pd.concat(months, ignore_index=True).head(REVIEWS)


@pytest.fixture
def place(versioned: Place, tmp_path: Path) -> Place:
    """A copy of the clone, and of its version."""
    root, pipeline = tmp_path / "clone", tmp_path / "pipeline"
    shutil.copytree(versioned.root, root, symlinks=True)
    shutil.copytree(versioned.repository.folder, pipeline)
    repository = FakeVersionRepository(pipeline, commits=list(versioned.repository.commits))
    return Place(root, repository)


def failed(result: dg.ExecuteInProcessResult) -> set[str]:
    return {one.check_name for one in result.get_asset_check_evaluations() if not one.passed}


# What breaks each check. A mutation gets the place and changes its data, before the run.


def no_usable_review(place: Place) -> None:
    place.change_raw(lambda rows: rows.assign(deleted_at=pd.Timestamp(NOW)))


def no_column_of_stars(place: Place) -> None:
    place.change_validated(lambda rows: rows.drop(columns="rating"))


def a_few_without_stars(place: Place) -> None:
    place.change_validated(lambda rows: rows.assign(rating=rows["rating"].where(rows.index > 3)))


def everyone_is_happy(place: Place) -> None:
    place.change_raw(lambda rows: rows.assign(rating=5))


def the_new_ones_are_unhappy(place: Place) -> None:
    arrive(place, "2026-03-31T01:00Z", unhappy=True)


def arrive(place: Place, first: str, *, unhappy: bool, count: int = 250) -> None:
    """Reviews after all others: texts that the store has, each with its own stars."""
    rows = _frame(place).drop_duplicates("review_text")
    chosen = rows[(rows["rating"] < 3) | (not unhappy)].sample(count, random_state=2)
    dates = pd.date_range(first, periods=count, freq="5min")
    new = chosen.assign(review_id=chosen["review_id"] + first, review_date=dates, scraped_at=pd.Timestamp(NOW))
    ReviewStore(place.root / "data" / "raw").upsert(APP, columns.conform(new))


def one_in_ten_is_unusable(place: Place) -> None:
    place.change_raw(lambda rows: rows.assign(rating=rows["rating"].where(rows.index % 10 > 0, 0)))


def rows_vanish(place: Place) -> None:
    place.change_raw(lambda rows: rows.iloc[5:])


def all_write_the_same(place: Place) -> None:
    def same(rows: pd.DataFrame) -> pd.DataFrame:
        says = rows["rating"].map(lambda stars: "bagus sekali" if stars > 3 else "jelek sekali")
        return rows.assign(review_text=rows["review_text"].where(rows.index % 10 > 7, says))

    place.change_raw(same)


def one_in_five_writes_thai(place: Place) -> None:
    rng = np.random.default_rng(1)
    letters = [chr(code) for code in range(0x0E01, 0x0E2F)]

    def thai(rows: pd.DataFrame) -> pd.DataFrame:
        words = ["".join(rng.choice(letters, 12)) for _ in range(len(rows))]
        said = [f"{'ดี' if stars > 3 else 'แย่'} {word}" for stars, word in zip(rows["rating"], words, strict=True)]
        return rows.assign(review_text=rows["review_text"].where(rows.index % 5 > 0, said))

    place.change_raw(thai)


def stars_are_turned_round(place: Place) -> None:
    place.change_raw(lambda rows: rows.assign(rating=rows["rating"].where(rows.index % 9 > 3, 6 - rows["rating"])))


def a_file_with_names(place: Place) -> None:
    text = "app_id,userName,review_text,rating,review_date\n" + "".join(
        f"{APP},Budi {n},bagus nomor {n},{1 + n % 5},2026-02-{1 + n % 28:02d}\n" for n in range(5)
    )
    _import(place, "named.csv", text)


def a_file_of_something_else(place: Place) -> None:
    _import(place, "prices.csv", "item,price\nrice,12000\n")


def _import(place: Place, name: str, text: str) -> None:
    folder = place.root / "data" / "imports"
    folder.mkdir(parents=True)
    (folder / name).write_text(text, encoding="utf-8")


def the_newest_are_angry(place: Place) -> None:
    frame = _frame(place)
    _train_on(place, frame)
    newest = set(recent(frame, DriftOptions())["review_id"])
    # Each text as seldom as can be, or many would be one template.
    angry = itertools.cycle(frame.loc[frame["rating"] < 3, "review_text"].unique())

    def change(rows: pd.DataFrame) -> pd.DataFrame:
        new = rows["review_id"].isin(newest)
        texts = pd.Series([next(angry) if one else "" for one in new], index=rows.index)
        return rows.assign(rating=rows["rating"].where(~new, 1), review_text=rows["review_text"].where(~new, texts))

    place.change_raw(change)


def _frame(place: Place) -> pd.DataFrame:
    paths = sorted((place.root / "data" / "validated" / APP).glob("*.parquet"))
    return pd.concat([columns.read_frame(path) for path in paths], ignore_index=True)


def _train_on(place: Place, frame: pd.DataFrame, **about: Any) -> None:
    """What a training on these reviews leaves for the check of drift."""
    models = place.root / "models"
    path = place.settings.profile("a" * 12)
    path.parent.mkdir(parents=True)
    Profile.of(frame).save(path)
    record = {"model": "classic", "model_version": "m" * 12, "dataset_version": "a" * 12, **about}
    (models / "champion.json").write_text(json.dumps(record), encoding="utf-8")


def another_type_upstream(place: Place) -> None:
    path = min((place.root / "data" / "raw" / APP).glob("*.parquet"))
    columns.read_frame(path).assign(rating=lambda rows: rows["rating"].astype("str")).to_parquet(path)


def a_torn_feed(place: Place) -> None:
    place.source.apps_shown = (AppStatus(APP, "partial", "the feed ended at page 3"),)


def an_app_that_left_the_store(place: Place) -> None:
    place.source.apps_shown = (AppStatus(APP), AppStatus("com.left.store", "unknown", "the store does not know it"))


MUTATIONS: dict[str, Callable[[Place], None]] = {
    "reviews_are_not_empty": no_usable_review,
    "required_columns_exist": no_column_of_stars,
    "required_values_are_present": a_few_without_stars,
    "positive_share_is_normal": everyone_is_happy,
    "positive_share_is_steady": the_new_ones_are_unhappy,
    "quarantine_is_small": one_in_ten_is_unusable,
    "no_review_is_lost": rows_vanish,
    "texts_are_varied": all_write_the_same,
    "languages_are_known": one_in_five_writes_thai,
    "stars_match_texts": stars_are_turned_round,
    "imports_hold_no_names": a_file_with_names,
    "imports_are_understood": a_file_of_something_else,
    "data_has_not_drifted": the_newest_are_angry,
    "stored_reviews_keep_their_schema": another_type_upstream,
    "collection_is_complete": a_torn_feed,
    "apps_are_known": an_app_that_left_the_store,
}
BLOCKS = {
    "reviews_are_not_empty",
    "required_columns_exist",
    "required_values_are_present",
    "positive_share_is_normal",
    "positive_share_is_steady",
    "quarantine_is_small",
    "no_review_is_lost",
    "stored_reviews_keep_their_schema",
    "collection_is_complete",
}
OF_VALIDATED = set(MUTATIONS) - {"stored_reviews_keep_their_schema", "collection_is_complete", "apps_are_known"}


@pytest.mark.parametrize("check", MUTATIONS)
def test_the_violation_fails_just_that_check(place: Place, check: str) -> None:
    MUTATIONS[check](place)
    result = place.run()
    assert failed(result) == {check}
    assert result.success is (check not in BLOCKS)
    assert len(place.repository.commits) == (1 if check in BLOCKS or _same_data(check) else 2)
    [one] = [one for one in result.get_asset_check_evaluations() if not one.passed]
    severity = dg.AssetCheckSeverity.ERROR if check in BLOCKS else dg.AssetCheckSeverity.WARN
    assert (one.severity, one.blocking) == (severity, check in BLOCKS)
    assert one.description


def _same_data(check: str) -> bool:
    """Violations beside the reviews themselves: the version is the one that is there."""
    return check in {"imports_are_understood", "apps_are_known"}


def test_every_declared_check_has_a_violation_and_blocks_as_declared() -> None:
    graph = build_definitions(settings_of(Path(__file__).parents[2])).resolve_asset_graph()
    declared = {key.name: graph.get_check_spec(key).blocking for key in graph.asset_check_keys}
    assert declared == {name: name in BLOCKS for name in {*MUTATIONS, *OF_SERVING, *OF_PREDICTIONS}}


def no_lock_of_the_server(place: Place) -> str:
    """The clone has no lock of the server, so nothing can be audited."""
    assert place.settings.serving_lock is None
    return "serving_image"


def a_channel_that_nobody_answers(place: Place) -> str:
    """A message waits for a port on which nothing listens."""
    folder = place.root / ".dagster" / "summaries"
    write_summaries(folder, summary(**FAILED))
    told = Notifier.of(place.settings).deliver()
    assert [one.waiting for one in told.channels] == [1]
    return "deployed_image"


def a_database_that_is_away(place: Place) -> str:
    """What runs left is to go to a database for which nothing listens."""
    place.environment |= {"POSTGRES_HOST": "127.0.0.1", "POSTGRES_PORT": "9", "POSTGRES_USER": "u", "POSTGRES_DB": "d"}
    write_summaries(place.root / ".dagster" / "summaries", summary(**FAILED))
    assert Dashboards.of(place.settings).refresh().trouble
    return "deployed_image"


OF_SERVING = {
    "dashboards_have_every_run": a_database_that_is_away,
    "packages_have_no_known_vulnerability": no_lock_of_the_server,
    "notifications_reach_their_channels": a_channel_that_nobody_answers,
}


OF_PREDICTIONS = ("predictions_have_not_drifted",)


@pytest.mark.parametrize("check", OF_SERVING)
def test_a_violation_beside_the_data_is_a_warning(place: Place, check: str) -> None:
    one = _judge(place, OF_SERVING[check](place), check)
    assert (one.passed, one.severity, one.blocking) == (False, dg.AssetCheckSeverity.WARN, False)


@pytest.mark.parametrize("check", OF_PREDICTIONS)
@pytest.mark.parametrize("unsure", [False, True])
def test_a_model_that_grows_unsure_of_the_newest_is_a_warning(place: Place, check: str, unsure: bool) -> None:
    """The newest reviews are those of the store once more, a year later; the model meets them after its own."""
    reviews = _frame(place)[["review_id", "app_id", "review_date", "review_text"]]

    def scored(rows: pd.DataFrame, top: float, day: int) -> pd.DataFrame:
        def sure(texts: Sequence[str]) -> np.ndarray:
            best = top - np.array([zlib.crc32(text.encode()) % 1000 for text in texts]) / 10_000
            return np.stack([1 - best, best], axis=1)

        return predict(rows, ("negative", "positive"), sure, known=None, now=datetime(2027, 4, day, tzinfo=UTC))[0]

    later = reviews.assign(
        review_id=reviews["review_id"] + "-later", review_date=reviews["review_date"] + pd.Timedelta(days=365)
    )
    first, frame = scored(reviews, 0.99, 1), scored(later, 0.8 if unsure else 0.99, 2)
    about = About("m" * 12, "d" * 12, ("negative", "positive"), "s" * 12)
    write(pd.concat([first, frame], ignore_index=True), about, place.settings.predictions)
    one = _judge(place, "predictions", check)
    assert (one.passed, one.severity, one.blocking) == (not unsure, dg.AssetCheckSeverity.WARN, False)
    assert ("confidence: mean 0.9" in (one.description or "")) is unsure
    point = read_history(place.settings.instance_folder)[-1]
    assert (point.of, point.model_version, point.features) == (
        "predictions",
        "m" * 12,
        ("confidence",) if unsure else (),
    )


def _judge(place: Place, asset: str, check: str) -> dg.AssetCheckEvaluation:
    """The one check alone; what it says."""
    definitions = build_definitions(place.settings, {"service": fake_service(place.settings.service_folder)})
    key = dg.AssetCheckKey(dg.AssetKey(asset), check)
    job = definitions.resolve_implicit_global_asset_job_def().get_subset(
        asset_selection=set(), asset_check_selection={key}
    )
    with dg.DagsterInstance.ephemeral() as instance:
        result = job.execute_in_process(instance=instance)
    assert result.success
    [one] = result.get_asset_check_evaluations()
    return one


def test_reviews_like_those_of_the_training_break_nothing(place: Place) -> None:
    _train_on(place, _frame(place))
    result = place.run()
    assert failed(result) == set()
    assert {one.check_name for one in result.get_asset_check_evaluations()} == set(MUTATIONS)


@pytest.mark.parametrize(
    ("trained_on", "said"),
    [
        ({"apps": ["sample.app"], "sources": ["sample"]}, "was trained on generated reviews, and these are reviews of"),
        ({"apps": ["com.other.app"], "sources": ["file"]}, "was trained on reviews of com.other.app, and these are"),
        ({"apps": [APP, "com.other.app"], "sources": ["file"]}, None),
        ({}, None),
    ],
)
def test_reviews_that_the_serving_model_was_never_made_for_are_no_drift(
    place: Place, trained_on: dict[str, Any], said: str | None
) -> None:
    _train_on(place, _frame(place).assign(rating=1, review_text="jelek sekali"), trained_on=trained_on)
    reviews = _frame(place)
    data = TrainedOn.of([APP], ["file"])
    verdict = compare_with_training(place.settings, cast("Any", FakeVersionRepository()), data, lambda _: reviews)
    assert verdict.drifted is not bool(said)
    assert said is None or said in verdict.reason
    assert len(read_history(place.settings.instance_folder)) == (0 if said else 1)


# The same checks hold however a run begins.

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
    place: Place, assets: list[str], job: str, tags: dict[str, str] | None, judged: set[str]
) -> None:
    rows_vanish(place)
    result = place.run(assets, job, tags)
    assert {one.check_name for one in result.get_asset_check_evaluations()} == judged
    assert failed(result) == {"no_review_is_lost"}
    assert not result.success
    assert len(place.repository.commits) == 1


@pytest.mark.parametrize(
    ("trigger", "job", "judged"),
    [("every_six_hours", "pipeline", set(MUTATIONS)), ("run_on_git_change", "refresh_models", OF_VALIDATED)],
)
def test_the_checks_hold_for_what_a_trigger_starts(place: Place, trigger: str, job: str, judged: set[str]) -> None:
    rows_vanish(place)
    request = _asked_by(place, trigger)
    result = place.run(None, job, dict(request.tags))
    assert {one.check_name for one in result.get_asset_check_evaluations()} == judged
    assert failed(result) == {"no_review_is_lost"}
    assert not result.success
    assert len(place.repository.commits) == 1


def _asked_by(place: Place, trigger: str) -> dg.RunRequest:
    definitions, settings = place.definitions(), place.settings
    shared = {
        "settings": settings,
        "review_source": place.source,
        "git_history": GitHistory(place.root),
        "code_location": object(),
    }
    with dg.instance_for_test() as instance:
        if trigger == "every_six_hours":
            schedule = definitions.resolve_schedule_def(trigger)
            with dg.build_schedule_context(
                instance=instance,
                resources={"review_source": place.source},
                scheduled_execution_time=settings.now(),
            ) as context:
                [request] = schedule.evaluate_tick(context).run_requests or []
                return request
        head = git(place.root, "rev-parse", "HEAD")
        write_params(place.root, evaluate={"rounds": 201})
        git(place.root, "commit", "--quiet", "--all", "--message", "another parameter")
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
    place: Place, violation: Callable[[Place], None], assets: list[str], job: str, tags: dict[str, str] | None
) -> None:
    """There would be a version to make: something is new in February."""
    everyone_votes(place)
    violation(place)
    result = place.run(assets, job, tags)
    assert not result.success
    assert len(place.repository.commits) == 1
    check = next(name for name, breaks in MUTATIONS.items() if breaks is violation)
    [step] = result.get_failed_step_keys()
    message = str(result.failure_data_for_node(step).user_failure_data)
    assert (check if step == "versioned_dataset" else "must be int64") in message


def everyone_votes(place: Place) -> None:
    path = place.root / "data" / "raw" / APP / "2026-02.parquet"
    columns.write_frame(columns.conform(columns.read_frame(path).assign(thumbs_up=1)), path)


def test_a_review_that_an_edit_moved_out_of_the_runs_range_is_there_once(place: Place) -> None:
    store = ReviewStore(place.root / "data" / "raw")
    one = columns.read_frame(store.path(APP, "2026-01")).head(1)
    edited = one.assign(
        review_text="diubah: jelek sekali",
        review_date=pd.Timestamp("2026-03-28", tz="UTC"),
        scraped_at=pd.Timestamp(NOW),
    )
    store.upsert(APP, columns.conform(edited))
    result = place.run(RESTS[1:], "refresh_models", range_tags(place.settings, [APP], "2026-03", "2026-03"))
    assert failed(result) == set()
    assert len(place.repository.commits) == 2
    found = _frame(place)
    assert found["review_id"].is_unique
    assert found.loc[found["review_id"] == one["review_id"].iloc[0], "review_text"].tolist() == ["diubah: jelek sekali"]


def test_a_month_whose_usable_reviews_are_gone_is_lost_while_nobody_validates_it(place: Place) -> None:
    data = place.root / "data" / "validated" / APP
    for path in (data / "2026-01.parquet", data / ".validation" / "2026-01.json"):
        path.unlink()
    result = place.run(RESTS[1:], "pipeline", ONE_MONTH)
    assert failed(result) == {"no_review_is_lost"}
    assert len(place.repository.commits) == 1
    [one] = [one for one in result.get_asset_check_evaluations() if not one.passed]
    assert "stored and not validated" in str(one.description)
    assert place.run().success


def test_the_version_alone_refuses_what_its_checks_would_stop(place: Place) -> None:
    everyone_is_happy(place)
    assert failed(place.run(["validated_reviews"])) == {"positive_share_is_normal"}
    result = place.run(["versioned_dataset"], tags={})
    assert not result.success
    message = result.failure_data_for_node("versioned_dataset").user_failure_data.description
    assert message.startswith(f"positive_share_is_normal: {APP}: 100.0% of")
    assert len(place.repository.commits) == 1


def _write_printed_line(place: Place, message: str) -> None:
    """What a person does who pastes the line that the error prints."""
    line = message[message.index("validation: {") :]
    path = place.root / "params.yaml"
    text = path.read_text(encoding="utf-8")
    text, replaced = re.subn("(?m)^validation:.*\n(  .*\n)*", lambda _: f"{line}\n", text)
    assert replaced == 1
    path.write_text(text, encoding="utf-8")


def test_an_app_outside_30_to_90_percent_is_released_by_the_line_that_the_error_prints(place: Place) -> None:
    deleted = pd.Timestamp(NOW)
    place.change_raw(
        lambda rows: rows.assign(
            deleted_at=rows["deleted_at"].mask((rows["rating"] < 3) & (rows.index % 10 > 0), deleted)
        )
    )
    [one] = [one for one in place.run().get_asset_check_evaluations() if not one.passed]
    assert one.check_name == "positive_share_is_normal"
    _write_printed_line(place, str(one.description))
    assert failed(place.run()) == set()
    assert len(place.repository.commits) == 2


def test_a_sudden_change_is_released_by_the_line_that_the_error_prints_and_the_next_one_is_not(place: Place) -> None:
    until_april = range_tags(place.settings, [APP], MONTHS[0], "2026-04")
    the_new_ones_are_unhappy(place)
    [one] = [one for one in place.run().get_asset_check_evaluations() if not one.passed]
    _write_printed_line(place, str(one.description))
    assert failed(place.run()) == set()
    arrive(place, "2026-04-01T01:00Z", unhappy=True)
    assert failed(place.run(tags=until_april)) == set()
    assert len(place.repository.commits) == 3
    arrive(place, "2026-04-03T01:00Z", unhappy=False)
    assert failed(place.run(tags=until_april)) == {"positive_share_is_steady"}
    assert len(place.repository.commits) == 3


def test_the_version_alone_refuses_a_sudden_change(place: Place) -> None:
    the_new_ones_are_unhappy(place)
    place.run(["validated_reviews"])
    result = place.run(["versioned_dataset"], tags={})
    message = result.failure_data_for_node("versioned_dataset").user_failure_data.description
    assert message.startswith(f"positive_share_is_steady: {APP}: 0.0% of ")
    assert len(place.repository.commits) == 1
