"""What the page of `topics` shows: words, shares and examples, the trend by month, the newest releases."""

from mlops_assets.assets import metadata
from mlops_assets.settings import Settings
from mlops_assets.steps.topics.find_topics import FoundTopics
from mlops_assets.workspace import TOPIC_NAMES, TOPICS

_MONTHS, _RELEASES = 12, 5
_LONGEST_EXAMPLE = 200


def about_topics(found: FoundTopics, settings: Settings) -> metadata.Metadata:
    """The metadata of a materialization."""
    from mlops_assets.reviews.topics.figures import releases, shares_by_month, topic_shares
    from mlops_assets.reviews.topics.stored import texts_of_examples

    about, counts = found.about, found.counts
    shares = topic_shares(counts, about.topics)
    texts = texts_of_examples(
        settings.data, [one for topic in about.topics for one in topic.examples], _LONGEST_EXAMPLE
    )
    listed = [
        {
            "topic": topic.id,
            "name": topic.name,
            "words": ", ".join(topic.words),
            "share of its sentiment": str(shares[topic.id]) if topic.id in shares else "none yet",
            "example": next((texts[review] for _, _, review in topic.examples if review in texts), ""),
        }
        for topic in about.topics
    ]
    by_month = [
        {"month": month, **{topic: f"{share.value:.1%} of {share.n}" for topic, share in row.items()}}
        for month, row in shares_by_month(counts, about.topics, _MONTHS).items()
    ]
    newest = [
        {
            "app": each.app_id,
            "version": each.version,
            "negative": str(each.negative),
            "first review": f"{each.first_at:%Y-%m-%d}",
        }
        for each in releases(counts, about.topics, _RELEASES)
    ]
    return {
        "reason": found.due.reason,
        "kept": not found.due,
        "found_anew": found.anew or "no",
        **({"ids_kept": f"{about.ids_kept[0]} of {about.ids_kept[1]}"} if about.ids_kept else {}),
        "found_in": ", ".join(f"{count} distinct {sentiment} texts" for sentiment, count in about.found_in.items())
        + f" of data {about.found_data}",
        "dataset_version": about.dataset_version,
        "model_version": about.model_version,
        "months_counted": len(found.months),
        "reviews": int(counts["reviews"].sum()),
        "topics": metadata.table(listed),
        "share_by_month": metadata.table(by_month),
        "newest_releases": metadata.table(newest),
        "names": metadata.link(settings.root / TOPIC_NAMES),
        "folder": metadata.link(settings.data / TOPICS),
    }
