"""The section `play_store`: how reviews are collected."""

from typing import Annotated, ClassVar

from pydantic import Field

from mlops_assets.params.section import Rule, Section


class CollectOptions(Section):
    """How reviews are collected from Google Play, with `source: play_store`."""

    section: ClassVar[str] = "play_store"

    language: Annotated[str, Rule("a language code such as id")] = Field(
        default="id", pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]+)*$"
    )
    """The language of the reviews. Google Play keeps one list of reviews for each language."""
    country: Annotated[str, Rule('a country code such as "ID"')] = Field(default="ID", pattern="^[A-Za-z]{2}$")
    """The country that requests name. It filters nothing: the language does. Quote it: a bare NO means false."""
    page_size: int = Field(default=199, ge=1, le=4500)
    """Reviews to ask for in one request. The store sends at most 199, whatever it is asked."""
    requests_per_second: float = Field(default=5.0, ge=0.001, le=1000)
    """The most requests per second, of all apps and processes of an installation together. Lower it if the store
    refuses requests."""
    apps_at_once: int = Field(default=4, ge=1, le=32)
    """Apps that are collected at the same time."""
    overlap_days: float = Field(default=14.0, ge=0, le=3650)
    """Each collection reads the newest reviews again, this many days back but at most one page, to find edits, replies
    and deletions."""
    retries: int = Field(default=6, ge=0, le=100)
    """How often a failed request is repeated before the collection of the app stops and keeps what it has."""
    backoff_s: float = Field(default=1.0, ge=0, le=600)
    """Seconds to wait before the first repeat. The wait doubles with each repeat."""
    backoff_most_s: float = Field(default=60.0, ge=0, le=3600)
    """The longest wait between two repeats, in seconds."""
    give_up_after_s: float = Field(default=300.0, ge=0, le=86400)
    """Seconds after which a request is not repeated any more, even if `retries` would allow it."""
    connect_timeout_s: float = Field(default=10.0, ge=0.01, le=600)
    """Seconds to wait for a connection to the store."""
    read_timeout_s: float = Field(default=30.0, ge=0.01, le=600)
    """Seconds to wait for an answer of the store."""
    deletions_percent: float = Field(default=5.0, ge=0, le=100)
    """If more than this share of a month's stored reviews has vanished from the store, the deletions wait for a run
    with `accept_deletions`: the store may have sent an incomplete list."""
    accept_deletions: bool = False
    """Accept such deletions in every run. Better: once, in the Launchpad, after a look at the app."""
    flush_reviews: int = Field(default=10_000, ge=1, le=1_000_000)
    """Reviews that are collected before they are written into their months. Lower it to use less memory."""
    user_agent: Annotated[str, Rule("printable ASCII")] = Field(
        default="mlops-assets review collector", pattern="^[ -~]+$"
    )
    """How the collector names itself to the store."""
