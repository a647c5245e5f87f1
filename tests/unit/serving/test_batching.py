import asyncio
import threading

import numpy as np
import pytest

from mlops_assets.serving.models.batching import Batcher, DeadlinePassed, QueueFull


class Recorder:
    """A model whose answer is the text's own length; it waits until it is let go."""

    def __init__(self, *, held: bool = False):
        self.batches: list[list[str]] = []
        self.go = threading.Event()
        if not held:
            self.go.set()

    def infer(self, texts):
        assert self.go.wait(10)
        self.batches.append(list(texts))
        return np.array([[len(text), 0] for text in texts], float)

    def batcher(self, **options):
        return Batcher(infer=self.infer, lengths=lambda texts: [len(text) for text in texts], **options)


async def held_up(batcher, recorder, groups, **first):
    """Occupy the only worker with one text, queue `groups`, let go; returns the answers of the groups."""
    blocker = asyncio.create_task(batcher.probabilities(["x" * 500]))
    await asyncio.sleep(0)
    tasks = [asyncio.create_task(batcher.probabilities(group)) for group in groups]
    await asyncio.sleep(0)
    recorder.go.set()
    await blocker
    return await asyncio.gather(*tasks)


def test_every_request_gets_its_own_answers_in_order():
    recorder = Recorder(held=True)
    texts = [["a" * n for n in (3, 90, 1)], ["b" * 90], ["c" * 2, "d" * 3]]
    answers = asyncio.run(held_up(recorder.batcher(workers=1), recorder, texts))
    assert [[row[0] for row in rows] for rows in answers] == [[3, 90, 1], [90], [2, 3]]


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


def test_what_would_wait_beyond_the_deadline_is_refused_at_once_also_before_the_first_batch():
    recorder = Recorder(held=True)
    batcher = recorder.batcher(workers=1, deadline_s=2.0, tokens_per_s=10.0)
    with pytest.raises(QueueFull, match="1 texts are waiting"):
        asyncio.run(held_up(batcher, recorder, [["a" * 21], ["b"]]))


def test_a_batch_stays_within_its_tokens():
    recorder = Recorder(held=True)
    asyncio.run(held_up(recorder.batcher(workers=1, batch_tokens=100), recorder, [["a" * 30] for _ in range(7)]))
    assert [len(batch) for batch in recorder.batches[1:]] == [3, 3, 1]


def test_a_text_longer_than_the_budget_is_answered_alone():
    recorder = Recorder()
    answers = asyncio.run(recorder.batcher(batch_tokens=10).probabilities(["a" * 50]))
    assert answers[0][0] == 50


def test_beyond_its_room_the_queue_refuses_at_once_and_serves_what_it_took():
    recorder = Recorder(held=True)

    async def scenario():
        batcher = recorder.batcher(workers=1, max_queue_texts=2)
        blocker = asyncio.create_task(batcher.probabilities(["x"]))
        await asyncio.sleep(0)
        taken = asyncio.create_task(batcher.probabilities(["aa", "bb"]))
        await asyncio.sleep(0)
        with pytest.raises(QueueFull) as caught:
            await batcher.probabilities(["c"])
        recorder.go.set()
        await blocker
        return caught.value.retry_after_s, await taken

    retry_after_s, answers = asyncio.run(scenario())
    assert retry_after_s >= 1
    assert [row[0] for row in answers] == [2, 2]


def test_a_text_that_waited_too_long_is_refused_and_never_computed():
    recorder = Recorder(held=True)
    now = [0.0]

    async def scenario():
        batcher = recorder.batcher(workers=1, deadline_s=5, clock=lambda: now[0])
        blocker = asyncio.create_task(batcher.probabilities(["x"]))
        await asyncio.sleep(0)
        late = asyncio.create_task(batcher.probabilities(["late"]))
        await asyncio.sleep(0)
        now[0] = 5.1
        recorder.go.set()
        await blocker
        with pytest.raises(DeadlinePassed, match="over 5 s"):
            await late

    asyncio.run(scenario())
    assert recorder.batches == [["x"]]


def test_a_client_that_left_is_not_computed():
    recorder = Recorder(held=True)

    async def scenario():
        batcher = recorder.batcher(workers=1)
        blocker = asyncio.create_task(batcher.probabilities(["x"]))
        await asyncio.sleep(0)
        gone = asyncio.create_task(batcher.probabilities(["gone"]))
        await asyncio.sleep(0)
        gone.cancel()
        recorder.go.set()
        await blocker
        await batcher.probabilities(["next"])
        assert batcher.depth == 0

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
        batcher = Batcher(infer=infer, lengths=lambda texts: [1] * len(texts))
        with pytest.raises(ValueError, match="once"):
            await batcher.probabilities(["a"])
        assert (await batcher.probabilities(["b"])).shape == (1, 2)

    asyncio.run(scenario())
