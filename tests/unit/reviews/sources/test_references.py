"""Reference apps from params.yaml to stored reviews: files, what is refused, and what is no reference any more."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from mlops_assets.failures import BadSetting, PermanentFailure
from mlops_assets.reviews.sources.references import (
    NOT_BESIDE_THE_SAMPLE,
    app_of_file,
    collect_references,
    listed_apps,
    reference_files,
    statuses,
    unlisted_apps,
    validate_references,
)
from mlops_assets.reviews.sources.review_source import CollectRequest
from mlops_assets.reviews.stored.reference import reference_folder, reference_store
from mlops_assets.settings import Settings
from mlops_assets.steps.preconditions import refuse_bad_parameters

APP, GOJEK = "com.valar.pintu", "com.gojek.app"
NOW = "2026-03-10T12:00:00Z"


def write_params(root: Path, *references: str, **more: Any) -> None:
    sides = {"train": 80, "validation": 7.5, "gate": 5, "test": 7.5}
    params = {"apps": [APP], "reference_apps": list(references), "sides": sides, **more}
    (root / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")


def settings_of(root: Path, *references: str, source: str = "file", **more: Any) -> Settings:
    write_params(root, *references, **more)
    return Settings.load({"SOURCE": source, "NOW": NOW}, root)


def file_of(path: Path, *rows: str, header: str = "review_id,review_text,rating,review_date") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def rows_of(name: str, count: int = 5) -> list[str]:
    return [f"{name}-{n},ulasan {name} {n},{5 if n % 2 else 1},2026-0{n % 2 + 1}-1{n}" for n in range(count)]


def take(settings: Settings, **more: Any) -> list[str]:
    said: list[str] = []
    done = collect_references(settings, settings.source, said.append, **more)
    return [*said, *done.notes]


@pytest.mark.parametrize(
    ("name", "app"),
    [
        ("gojek.csv", "file.gojek"),
        ("Ulasan Gojek (2026).xlsx", "file.ulasan_gojek_2026"),
        ("com.gojek.app.csv", "com.gojek.app"),
        ("gojek.csv.gz", "file.gojek_csv"),
        ("2026.json", "file.reviews_2026"),
        ("ulasan", "file.ulasan"),
    ],
)
def test_a_file_without_a_column_of_apps_is_of_the_app_that_its_name_says(name: str, app: str) -> None:
    assert app_of_file(Path(name)) == app


def test_files_are_read_validated_and_the_newest_of_each_app_count(tmp_path: Path) -> None:
    file_of(tmp_path / "references" / "gojek.csv", *rows_of("g"), "g-bad,,5,2026-02-01")
    several = file_of(
        tmp_path / "elsewhere.csv",
        *(f"{row},{app}" for app in ("id.dana", APP) for row in rows_of(app)),
        header="review_id,review_text,rating,review_date,app_id",
    )
    settings = settings_of(tmp_path, "references/gojek.csv", str(several), reference={"reviews_per_app": 4})
    said = take(settings)
    assert f"{several}: 5 reviews of {APP} left out, which is no reference but an app here" in said
    assert listed_apps(settings, "file") == ["file.gojek", "id.dana"]
    months = validate_references(settings, "file")
    assert {app: sum(m.good for m in months if m.app_id == app) for app in ("file.gojek", "id.dana")} == {
        "file.gojek": 5,
        "id.dana": 5,
    }
    assert sum(month.quarantined for month in months) == 1
    assert reference_files(settings, "file").rows == {"file.gojek": 4, "id.dana": 4}
    assert {status.status for status in statuses(settings, "file")} == {"whole"}
    assert not (tmp_path / "data" / "raw").exists()
    assert take(settings) == [f"{several}: 5 reviews of {APP} left out, which is no reference but an app here"]
    assert all(month.unchanged for month in validate_references(settings, "file"))


def test_a_file_of_an_app_here_alone_is_refused(tmp_path: Path) -> None:
    file_of(tmp_path / f"{APP}.csv", *rows_of("p"))
    with pytest.raises(
        PermanentFailure,
        match=rf"{APP}.csv has reviews of {APP} alone, which is an app here: take it off reference_apps",
    ):
        take(settings_of(tmp_path, f"{APP}.csv"))


def test_a_file_that_is_gone_stops_a_run_at_once_and_what_was_read_of_it_stays(tmp_path: Path) -> None:
    path = file_of(tmp_path / "gojek.csv", *rows_of("g"))
    settings = settings_of(tmp_path, "gojek.csv")
    take(settings)
    path.rename(tmp_path / "away")
    with pytest.raises(BadSetting, match=rf"reference_apps names the file gojek.csv, but there is no {path}: put it"):
        refuse_bad_parameters(settings)
    with pytest.raises(BadSetting):
        take(settings)
    assert reference_store(settings.data).count("file.gojek") == 5
    (tmp_path / "gojek.csv.dvc").touch()
    with pytest.raises(BadSetting, match=r"with dvc pull .*gojek\.csv\.dvc"):
        refuse_bad_parameters(settings)


def test_an_app_is_either_a_reference_or_an_app_here(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match=f"{APP} stands under apps and under reference_apps"):
        settings_of(tmp_path, APP)
    write_params(tmp_path, GOJEK)
    with pytest.raises(BadSetting, match=f"APP={GOJEK} is under reference_apps"):
        Settings.load({"APP": GOJEK}, tmp_path)


def test_generated_reviews_are_not_mixed_with_references_and_the_run_says_so(tmp_path: Path) -> None:
    file_of(tmp_path / "gojek.csv", *rows_of("g"))
    settings = settings_of(tmp_path, "gojek.csv", source="sample")
    assert take(settings) == [f"reference apps: {NOT_BESIDE_THE_SAMPLE}", NOT_BESIDE_THE_SAMPLE]
    assert reference_files(settings, "sample").rows == {}
    assert statuses(settings, "sample") == []
    assert not reference_folder(settings.data).exists()


def test_without_the_store_what_is_stored_of_its_apps_is_used_and_the_run_says_so(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, GOJEK)
    why = "not collected: the source is file, which asks no store; what is stored of it is used"
    assert take(settings) == [f"{GOJEK}: {why}"]
    assert [(app.app_id, app.status) for app in statuses(settings, "file")] == [(GOJEK, "never")]


def test_a_backfill_leaves_references_alone_and_says_so(tmp_path: Path) -> None:
    file_of(tmp_path / "gojek.csv", *rows_of("g"))
    said = take(settings_of(tmp_path, "gojek.csv"), request=CollectRequest(reread=True))
    assert said[0].startswith("reference apps: not collected: this run reads months of the apps again")
    assert not reference_folder(tmp_path / "data").exists()


def test_what_left_the_list_is_in_no_version_and_is_removed_by_the_next_pruning(tmp_path: Path) -> None:
    file_of(tmp_path / "gojek.csv", *rows_of("g"))
    file_of(tmp_path / "dana.csv", *rows_of("d"))
    both = settings_of(tmp_path, "gojek.csv", "dana.csv")
    take(both)
    validate_references(both, "file")
    assert unlisted_apps(both) == []
    one = settings_of(tmp_path, "dana.csv")
    assert reference_files(one, "file").rows == {"file.dana": 5}
    assert unlisted_apps(one) == ["file.gojek"]
    file_of(tmp_path / "new.csv", *rows_of("n"))
    unread = settings_of(tmp_path, "dana.csv", "new.csv")
    assert reference_files(unread, "file").rows == {"file.dana": 5}
    assert [(app.app_id, app.status) for app in statuses(unread, "file")] == [
        ("file.dana", "whole"),
        ("file.new", "never"),
    ]
    (tmp_path / "new.csv").unlink()
    assert unlisted_apps(unread) == []


def test_an_app_that_became_one_here_is_no_reference_although_its_file_was_read_before(tmp_path: Path) -> None:
    file_of(tmp_path / "com.gojek.app.csv", *rows_of("g"))
    settings = settings_of(tmp_path, "com.gojek.app.csv")
    take(settings)
    validate_references(settings, "file")
    assert reference_files(settings, "file").rows == {GOJEK: 5}
    here = settings_of(tmp_path, "com.gojek.app.csv", apps=[APP, GOJEK])
    assert reference_files(here, "file").rows == {}
    assert unlisted_apps(here) == [GOJEK]


def test_a_new_clone_knows_the_apps_of_files_that_no_run_there_has_read(tmp_path: Path) -> None:
    file_of(tmp_path / "gojek.csv", *rows_of("g"))
    settings = settings_of(tmp_path, "gojek.csv")
    take(settings)
    validate_references(settings, "file")
    (reference_folder(settings.data) / "files.json").unlink()
    assert reference_files(settings, "file").rows == {"file.gojek": 5}
    assert unlisted_apps(settings) == []
