import asyncio
import threading
from collections.abc import Sequence

import numpy as np
import pytest

from mlops_assets.serving.models.batching import Batcher, DeadlinePassed, Prepared, QueueFull
from mlops_assets.serving.models.waiting import Waiting


def prepared(texts: Sequence[str]) -> list[Prepared]:
    return [Prepared(text, text, len(text)) for text in texts]


class Recorder:
    """A model whose answer is the text's own length; it waits until it is let go."""

    def __init__(self, *, held: bool = False):
        self.batches: list[list[str]] = []
        self.go = threading.Event()
        if not held:
            self.go.set()

    def infer(self, texts):
        assert self.go.wait(60)
        self.batches.append(list(texts))
        return np.array([[len(text), 0] for text in texts], float)

    def batcher(self, **options):
        return Batcher(**{"prepare": prepared, "infer": self.infer, **options})


async def asked(batcher, texts, client=""):
    """A request that is under way: its texts are prepared, or in a batch."""
    task = asyncio.create_task(batcher.answers(texts, client))
    until = batcher.depth + len(texts)
    await asyncio.sleep(0)
    while batcher.depth == until and batcher._preparing:
        await asyncio.sleep(0.001)
    return task


async def held_up(batcher, recorder, groups):
    """Occupy the only worker with one text, queue `groups`, let go; returns the answers of the groups."""
    blocker = await asked(batcher, ["x" * 500])
    tasks = [await asked(batcher, *(group if isinstance(group, tuple) else (group,))) for group in groups]
    recorder.go.set()
    await blocker
    return [[row[0] for _, row in await task] for task in tasks]


def test_every_request_gets_its_own_answers_in_order():
    recorder = Recorder(held=True)
    texts = [["a" * n for n in (3, 90, 1)], ["b" * 90], ["c" * 2, "d" * 3]]
    assert asyncio.run(held_up(recorder.batcher(workers=1), recorder, texts)) == [[3, 90, 1], [90], [2, 3]]


def test_texts_of_like_length_share_a_batch_and_others_do_not():
    recorder = Recorder(held=True)
    groups = [["a" * n] for n in (20, 100, 20, 99, 21, 5)]
    asyncio.run(held_up(recorder.batcher(workers=1), recorder, groups))
    assert sorted(sorted(map(len, batch)) for batch in recorder.batches[1:]) == [[5], [20, 20, 21], [99, 100]]


def test_little_padding_is_less_than_a_batch_more():
    recorder = Recorder(held=True)
    groups = [["a" * n] for n in (4, 12, 20, 60, 43)]  # 8 + 16 tokens of padding are too many, 17 too
    asyncio.run(held_up(recorder.batcher(workers=1), recorder, groups))
    assert sorted(sorted(map(len, batch)) for batch in recorder.batches[1:]) == [[4, 12], [20], [43], [60]]


def test_a_model_that_does_not_pad_takes_texts_of_any_length_together():
    recorder = Recorder(held=True)
    asyncio.run(held_up(recorder.batcher(workers=1, padded=False), recorder, [["a" * n] for n in (4, 90, 20)]))
    assert [[len(text) for text in batch] for batch in recorder.batches[1:]] == [[4, 90, 20]]


def test_a_batch_stays_within_its_tokens():
    recorder = Recorder(held=True)
    asyncio.run(held_up(recorder.batcher(workers=1, batch_tokens=100), recorder, [["a" * 30] for _ in range(7)]))
    assert [len(batch) for batch in recorder.batches[1:]] == [3, 3, 1]


def test_a_text_longer_than_the_budget_is_answered_alone():
    recorder = Recorder()
    ((_, row),) = asyncio.run(recorder.batcher(batch_tokens=10).answers(["a" * 50]))
    assert row[0] == 50


def order_of(recorder):
    """The client's letter of each batch, without the first."""
    return "".join(sorted({text[0] for text in batch})[0] for batch in recorder.batches[1:])


@pytest.mark.parametrize("clients", [("one", "two"), ("same", "same")])
def test_a_single_text_passes_a_batch_of_thousands_and_does_not_stop_it(clients):
    recorder = Recorder(held=True)
    batcher = recorder.batcher(workers=1, batch_tokens=1_000)

    async def scenario():
        large = [await asked(batcher, ["x"]), await asked(batcher, ["a" * 100] * 1_000, clients[0])]
        single = [await asked(batcher, ["b" * 100], clients[1]) for _ in range(3)]
        recorder.go.set()
        await asyncio.gather(*large, *single)

    asyncio.run(scenario())
    assert set(order_of(recorder).lstrip("b")) == {"a"}
    assert sum(map(len, recorder.batches)) == 1_004


def test_batches_of_two_clients_take_turns_however_many_requests_each_sends():
    recorder = Recorder(held=True)
    batcher = recorder.batcher(workers=1, batch_tokens=1_000)
    groups = [(["a" * 100] * 100, "one"), (["a" * 100] * 100, "one"), (["b" * 100] * 100, "two")]
    asyncio.run(held_up(batcher, recorder, groups))
    half = order_of(recorder)[:20]
    assert 8 <= half.count("b") <= 12, half


class Queue:
    """A queue whose texts are prepared at once; each batch is one text of 100 characters."""

    def __init__(self):
        self.waiting = Waiting(padded=False)

    def add(self, letter, texts, client="same"):
        self.waiting.add(client, [letter * 100] * texts)
        while unprepared := self.waiting.unprepared(10_000):
            for text in unprepared:
                self.waiting.prepared(text, text.content, 100)

    def take(self, batches=1):
        return "".join(self.waiting.batch(100)[0].content[0] for _ in range(batches))


@pytest.mark.parametrize("client", ["same", "other"])
def test_a_single_text_passes_a_batch_that_has_been_computed_for_long(client):
    queue = Queue()
    queue.add("a", 1_000)
    queue.take(500)
    queue.add("b", 1, client)
    assert queue.take() == "b"


@pytest.mark.parametrize("client", ["same", "other"])
def test_two_batches_take_turns_also_if_one_comes_later(client):
    queue = Queue()
    queue.add("a", 300)
    queue.take(100)
    queue.add("b", 100, client)
    assert 40 <= queue.take(100).count("b") <= 60


@pytest.mark.parametrize("client", ["same", "other"])
def test_single_texts_without_end_leave_a_batch_its_share(client):
    queue, taken = Queue(), "b"
    queue.add("a", 500)
    for _ in range(400):
        if taken.endswith("b"):
            queue.add("b", 1, client)  # a single text always waits
        taken += queue.take()
    assert 150 <= taken.count("a") <= 250, taken


def test_beyond_its_room_the_queue_refuses_at_once_and_serves_what_it_took():
    recorder = Recorder(held=True)

    async def scenario():
        batcher = recorder.batcher(workers=1, max_queue_texts=2)
        blocker, taken = await asked(batcher, ["x"]), await asked(batcher, ["aa", "bb"])
        with pytest.raises(QueueFull, match="2 texts are waiting, at most 2 may") as caught:
            await batcher.answers(["c"])
        recorder.go.set()
        await blocker
        return caught.value.retry_after_s, await taken

    retry_after_s, answers = asyncio.run(scenario())
    assert retry_after_s >= 1
    assert [row[0] for _, row in answers] == [2, 2]


def test_a_refusal_comes_before_any_work():
    recorder, seen = Recorder(held=True), []

    def prepare(texts):
        seen.extend(texts)
        return prepared(texts)

    async def scenario():
        batcher = recorder.batcher(prepare=prepare, workers=1, max_queue_texts=3)
        tasks = [await asked(batcher, ["x"]), await asked(batcher, ["a", "b", "c"])]
        with pytest.raises(QueueFull):
            await batcher.answers(["late"] * 3)
        recorder.go.set()
        await asyncio.gather(*tasks)

    asyncio.run(scenario())
    assert seen == ["x", "a", "b", "c"]


@pytest.mark.parametrize(("waits", "refused_for_s"), [(10, None), (40, 20)])
def test_what_would_wait_beyond_the_deadline_is_refused_with_the_time_until_it_would_not(waits, refused_for_s):
    """A text of 80 characters costs 100, and here 100 are computed a second."""
    recorder = Recorder(held=True)
    text = "a" * 80

    async def scenario():
        batcher = recorder.batcher(workers=1, deadline_s=40.0)
        batcher.throughput.add(100, seconds=1)
        tasks = [await asked(batcher, ["x"]), await asked(batcher, [text] * waits, "other")]
        # In equal parts: until this client's 30 are computed, at most 30 of the other client are.
        try:
            tasks.append(await asked(batcher, [text] * 30))
            await asyncio.sleep(0)
            refusal = tasks[-1].exception() if tasks[-1].done() else None
        finally:
            recorder.go.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        return refusal

    refusal = asyncio.run(scenario())
    assert (refusal.retry_after_s if isinstance(refusal, QueueFull) else refusal) == refused_for_s


def test_a_full_queue_of_batches_has_room_for_a_single_text():
    recorder = Recorder(held=True)

    async def scenario():
        batcher = recorder.batcher(workers=1, max_queue_texts=100)
        batcher.throughput.add(500, seconds=1)
        tasks = [await asked(batcher, ["x"]), await asked(batcher, ["a" * 30] * 100)]
        with pytest.raises(QueueFull) as refusal:
            await batcher.answers(["b" * 30] * 50)
        assert refusal.value.retry_after_s == 5  # half of the queue, which costs 5,000
        tasks.append(await asked(batcher, ["c"]))
        recorder.go.set()
        await asyncio.gather(*tasks)

    asyncio.run(scenario())


def test_a_text_that_waits_too_long_is_refused_and_never_computed():
    recorder = Recorder(held=True)

    async def scenario():
        batcher = recorder.batcher(workers=1, deadline_s=1)
        blocker = await asked(batcher, ["x"])
        late = await asked(batcher, ["late"])
        with pytest.raises(DeadlinePassed, match=r"within 1 s"):
            await late
        assert batcher.depth == 0
        recorder.go.set()
        await asyncio.gather(blocker, return_exceptions=True)
        await batcher.answers(["next"])

    asyncio.run(scenario())
    assert recorder.batches == [["x"], ["next"]]


def test_preparation_has_the_same_deadline():
    go = threading.Event()

    def prepare(texts):
        assert go.wait(60)
        return prepared(texts)

    async def scenario():
        batcher = Recorder().batcher(prepare=prepare, deadline_s=0.2)
        with pytest.raises(DeadlinePassed):
            await batcher.answers(["a"])
        go.set()

    asyncio.run(scenario())


@pytest.mark.parametrize("texts", [["gone"], ["gone"] * 1_000])
def test_a_client_that_left_is_not_computed(texts):
    recorder = Recorder(held=True)

    async def scenario():
        batcher = recorder.batcher(workers=1)
        blocker, gone = await asked(batcher, ["x"]), await asked(batcher, texts)
        gone.cancel()
        await asyncio.sleep(0)
        assert batcher.depth == 0
        recorder.go.set()
        await blocker
        await batcher.answers(["next"])

    asyncio.run(scenario())
    assert recorder.batches == [["x"], ["next"]]


def test_a_model_that_fails_fails_its_batch_and_goes_on():
    calls = []

    def infer(texts):
        calls.append(list(texts))
        if len(calls) == 1:
            raise ValueError("once")
        return np.zeros((len(texts), 2))

    async def scenario():
        batcher = Batcher(prepare=prepared, infer=infer)
        with pytest.raises(ValueError, match="once"):
            await batcher.answers(["a"])
        assert len(await batcher.answers(["b"])) == 1

    asyncio.run(scenario())
