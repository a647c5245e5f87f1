"""Topics follow the predictions: only months that changed are read, and a rerun heals what was killed."""

import pytest

from mlops_assets.failures import BadSetting
from mlops_assets.reviews.stored import columns
from mlops_assets.reviews.topics.stored import TopicStore, texts_of_examples
from mlops_assets.steps.topics import find_topics as step
from mlops_assets.steps.topics.complaints import complaint_of
from mlops_assets.workspace import TOPIC_NAMES, TOPICS
from tests.unit.reviews.rows import APP, frame, review
from tests.unit.reviews.topics.invented import everything
from tests.unit.steps.topics.place import Place, no_model

__all__ = ["no_model"]  # a fixture


@pytest.fixture
def place(tmp_path, no_model) -> Place:
    found = Place(tmp_path)
    found.month("2026-01", everything(30, seed=1))
    found.month("2026-02", everything(30, seed=2), version="1.1")
    return found


def test_topics_are_found_counted_by_month_and_version_and_have_examples_of_their_own(place):
    found = place.find()
    assert len(found.about.topics) == 4
    assert found.months == (f"{APP}/2026-01", f"{APP}/2026-02")
    assert set(zip(found.counts["month"], found.counts["app_version"], strict=True)) == {
        ("2026-01", "1.0"),
        ("2026-02", "1.1"),
    }
    total = sum(len(everything(30, seed)) for seed in (1, 2))
    assert found.counts["reviews"].sum() == total
    assert found.about.found_in == {"negative": 200, "positive": 0}
    for topic in found.about.topics:
        texts = texts_of_examples(place.settings.data, topic.examples, 500)
        assert len(texts) == 3
        assert all(set(text.split()) & set(topic.words) for text in texts.values())


def test_with_nothing_new_no_review_is_read(place, monkeypatch):
    first = place.find()
    monkeypatch.setattr(step, "_bring_up_to_date", None)
    again = place.find()
    assert again.due.reason == f"the topics of data {first.about.dataset_version} are counted"
    assert again.about == first.about
    assert again.counts.equals(first.counts)


def test_a_little_new_reads_the_months_that_changed_and_keeps_the_topics(place, monkeypatch):
    first = place.find()
    place.month("2026-02", [*everything(30, seed=2), "saldo uang hilang lagi"], version="1.1")
    read = list[str]()
    real = columns.read_rows
    monkeypatch.setattr(
        columns, "read_rows", lambda path, names=None: read.append(path.as_posix()) or real(path, names)
    )
    again = place.find()
    assert (again.anew, again.months) == ("", (f"{APP}/2026-02",))
    assert not [path for path in read if "validated" in path and "2026-01" in path]
    assert again.about.version == first.about.version
    assert again.counts["reviews"].sum() == first.counts["reviews"].sum() + 1


def test_topics_are_found_anew_once_reviews_grew_enough_and_keep_their_ids(place):
    first = place.find()
    more = everything(30, seed=3)
    place.month("2026-03", more[: len(more) // 3])
    assert place.find().anew == ""
    place.month("2026-03", more)
    again = place.find()
    total = int(first.counts["reviews"].sum())
    assert again.anew == f"the topics were found in {total} reviews, now there are {total + len(more)}"
    assert again.about.ids_kept == (4, 4)
    assert {topic.id for topic in again.about.topics} == {topic.id for topic in first.about.topics}
    assert [folder.name for folder in (place.settings.data / TOPICS).iterdir() if folder.is_dir()] == [
        again.about.version
    ]


def test_other_parameters_find_the_topics_anew_and_a_later_refit_does_not(place):
    place.find()
    place.set_rules(refit_percent=50)
    assert place.find().anew == ""
    place.set_rules(count=3)
    assert place.find().anew == "the parameters or the method of finding topics changed"
    assert len(place.find().about.topics) == 3


def test_a_review_that_is_gone_or_changed_its_sentiment_is_counted_no_longer(place):
    first = place.find()
    texts = everything(30, seed=2)
    rows = frame(
        *(
            review(f"2026-02-{n}", review_text=text, app_version="1.1", review_date="2026-02-10T12:00:00Z")
            for n, text in enumerate(texts[:-1])
        )
    )
    place.put("2026-02", rows, ["neutral", *["negative"] * (len(rows) - 1)])
    again = place.find()
    assert again.counts["reviews"].sum() == first.counts["reviews"].sum() - 1
    assert again.counts["reviews"][again.counts["sentiment"] == "neutral"].sum() == 1
    gone = place.repository.data_folder / "validated" / APP / "2026-01.parquet"
    gone.unlink()
    place.month("2026-02", texts)
    assert set(place.find().counts["month"]) == {"2026-02"}


def test_a_run_that_is_killed_while_it_counts_is_made_good_by_the_next(place, monkeypatch):
    before = place.find()
    place.set_rules(count=3)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(TopicStore, "write_about", killed)
        with pytest.raises(KeyboardInterrupt):
            place.find()
    assert place.store.about() == before.about
    assert place.store.counts().equals(before.counts)
    assert len(place.store.read_month(APP, "2026-01")) == len(everything(30, seed=1))
    assert len(place.find().about.topics) == 3


def test_names_of_people_are_taken_without_reading_a_review_and_a_wrong_one_is_refused(place):
    first = place.find()
    topic = first.about.topics[0].id
    (place.settings.root / TOPIC_NAMES).write_text(f"{topic}: Masuk\n", encoding="utf-8")
    again = place.find()
    assert again.months == ()
    assert again.about.topics[0].title == "Masuk"
    (place.settings.root / TOPIC_NAMES).write_text("negative-99: X\n", encoding="utf-8")
    with pytest.raises(BadSetting, match="negative-99, which was never a topic"):
        place.find()
    assert place.store.about() == again.about


def test_few_reviews_have_no_topics_but_are_counted(tmp_path, no_model):
    place = Place(tmp_path)
    place.month("2026-01", ["saldo hilang", "iklan terus"])
    found = place.find()
    assert found.about.topics == []
    assert found.counts["reviews"].tolist() == [2]
    place.month("2026-02", everything(30))
    assert len(place.find().about.topics) == 4


def test_a_complaint_is_named_by_its_topic(place):
    assert complaint_of(place.settings.data / TOPICS) is None
    place.find()
    name = complaint_of(place.settings.data / TOPICS) or pytest.fail("no topics")
    login, nothing = name(["kode otp verifikasi login", "selamat pagi"])
    assert {"login", "kode", "otp", "verifikasi", "sandi"} & set(str(login).split(", "))
    assert nothing is None


def test_the_folder_names_no_text_of_a_review(place):
    place.find()
    text = everything(30, seed=1)[0].encode()
    for path in (place.settings.data / TOPICS).rglob("*"):
        assert not path.is_file() or text not in path.read_bytes()
