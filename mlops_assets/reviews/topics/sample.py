"""A sample of distinct texts that hardly changes when reviews are added: those with the smallest keys."""

from collections.abc import Iterable


class TextSample:
    """At most `most` distinct texts of all that were added, whatever their order; it holds twice as many at a time."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._texts: dict[int, str] = {}

    def add(self, texts: Iterable[tuple[int, str]]) -> None:
        """Pairs of a text's key and the text."""
        for key, text in texts:
            self._texts.setdefault(key, text)
            if len(self._texts) > 2 * self._most:
                self._texts = self._smallest()

    def texts(self) -> list[str]:
        """The sample, in the order of the keys."""
        return list(self._smallest().values())

    def _smallest(self) -> dict[int, str]:
        return dict(sorted(self._texts.items())[: self._most])
