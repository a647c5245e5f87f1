"""What should be true of topics."""

import pandas as pd

from mlops_assets.reviews.quality.claims import Claim
from mlops_assets.reviews.topics.figures import Share
from mlops_assets.reviews.topics.stored import StoredTopics

_LEAST_WITH_TOPIC = _LEAST_KEPT = 0.5


def negative_reviews_have_topics(about: StoredTopics, counts: pd.DataFrame) -> Claim:
    """At least half of the negative reviews have a topic."""
    if not any(topic.sentiment == "negative" for topic in about.topics):
        found = about.found_in.get("negative", 0)
        return Claim(True, f"not judged: {found} distinct negative texts are too few for topics (topics.least_texts)")
    negative = counts[counts["sentiment"] == "negative"]
    share = Share(int(negative["reviews"][negative["topic"] != ""].sum()), int(negative["reviews"].sum()))
    return Claim(
        share.value >= _LEAST_WITH_TOPIC, f"negative reviews with a topic: {share}, at least {_LEAST_WITH_TOPIC:.0%}"
    )


def ids_were_kept(about: StoredTopics) -> Claim:
    """At least half of the topics before kept their id when topics were last found anew."""
    if about.ids_kept is None:
        return Claim(True, "not judged: the topics were found for the first time")
    kept, before = about.ids_kept
    when = f"when topics were found anew ({about.found_at}, data {about.found_data})"
    return Claim(kept >= _LEAST_KEPT * before, f"{kept} of {before} topics kept their id {when}, at least half")
