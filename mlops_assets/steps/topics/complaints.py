"""What a negative review complains about, for messages that name it."""

from collections.abc import Callable, Sequence
from pathlib import Path


def complaint_of(folder: Path) -> Callable[[Sequence[str]], Sequence[str | None]] | None:
    """Texts -> the title of the negative topic of each, None without one. None before topics were found.

    Reads the model when it is called.
    """
    from mlops_assets.reviews.topics.stored import TopicStore

    store = TopicStore(folder)
    about = store.about()
    if about is None:
        return None
    titles = {topic.id: topic.title for topic in about.topics}

    def of(texts: Sequence[str]) -> Sequence[str | None]:
        found = store.models(about.version)["negative"].topics_of(texts)
        return [titles[topic] if topic else None for topic, _ in found]

    return of
