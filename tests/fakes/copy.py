"""A copy in memory that can be away, refuse an item, and die after some writes."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from mlops_assets.mirrors.mirror import ItemRefused, MirrorAway


class FakeCopy:
    """What is followed (`here`: key to mark), and the copy of it (`there`)."""

    name = "Copy"
    items = "things"
    removes = True

    def __init__(self, **here: str) -> None:
        self.here, self.there, self.tokens = dict(here), dict[str, str](), dict[str, str]()
        self.address, self.away, self.refuses = "copy.example", "", frozenset[str]()
        self.dies_after: int | None = None
        self.written = list[str]()

    def marks(self) -> Mapping[str, str]:
        return dict(self.here)

    def keep(self, done: Mapping[str, str]) -> None:
        pass

    @contextmanager
    def open(self) -> Iterator["FakeCopy"]:
        if self.away:
            raise MirrorAway(self.away)
        yield self

    def token(self, follower: str) -> str | None:
        return self.tokens.get(follower)

    def set_token(self, follower: str, token: str) -> None:
        self.tokens[follower] = token

    def write(self, key: str, mark: str) -> None:
        if self.dies_after is not None and len(self.written) >= self.dies_after:
            raise KeyboardInterrupt
        if key in self.refuses:
            raise ItemRefused("too large")
        self.written.append(key)
        self.there[key] = mark

    def remove(self, key: str) -> None:
        self.written.append(f"-{key}")
        self.there.pop(key, None)
