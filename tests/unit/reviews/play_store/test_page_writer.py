import threading

import pytest

from mlops_assets.reviews.play_store.page_writer import Writer


def test_pages_are_stored_in_order_before_leaving():
    stored = []
    with Writer(stored.append) as writer:
        for number in range(100):
            writer.put(number)
    assert stored == list(range(100))


def test_after_a_page_that_failed_none_is_stored_and_the_failure_is_raised():
    stored, release = [], threading.Event()

    def store(number):
        release.wait(5)
        if number == 3:
            raise OSError("disk full")
        stored.append(number)

    def put_ten():
        with Writer(store) as writer:
            for number in range(10):
                if number == 2:
                    release.set()
                writer.put(number)

    with pytest.raises(OSError, match="disk full"):
        put_ten()
    assert stored == [0, 1, 2]
