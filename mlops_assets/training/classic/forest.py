"""The bounded forest of the classic model, and its trees as plain arrays.

It sees which words a review holds, not how much they weigh: the server then meets no rounding at a threshold.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from mlops_assets.params.models import ClassicRecipe


def grow(present: Any, truth: np.ndarray, recipe: ClassicRecipe, weighed: np.ndarray | None = None) -> Any:
    """A fitted random forest over sparse presence (n, words) and label indices (n,); reviews weigh alike or as
    `weighed` (n,), in steps of a quarter.

    Leaves and reviews per tree are bounded: 200 free trees take 8 s at 10,000 reviews, 68 s at 40,000, hours at a
    million; with 200 leaves each they lose no accuracy on real reviews. Labels weigh alike, by whole numbers: with
    fractions the impurity of a pure node is not exactly 0, every word is then tried in vain and growing took 8 times
    as long.
    """
    from sklearn.ensemble import RandomForestClassifier

    rows = present.shape[0]
    counted = None if weighed is None else np.maximum(1, np.rint(4 * weighed))
    counts = np.bincount(truth, counted)
    forest = RandomForestClassifier(
        recipe.trees,
        max_leaf_nodes=recipe.max_leaf_nodes,
        max_samples=recipe.tree_reviews if rows > recipe.tree_reviews else None,
        class_weight={label: int(weight) for label, weight in enumerate(np.rint(4 * counts.max() / counts))},
        n_jobs=-1,
        random_state=recipe.seed,
    )
    # Each of scikit-learn's threads resets the warning filters of the whole process, so that one may find none and warn
    # (scikit-learn issue 32631, version 1.9.1). The filters from before come back here.
    with warnings.catch_warnings(record=True, action="ignore"):
        forest.fit(present, truth, sample_weight=counted)
    # Threads add up the trees' answers in the order in which they finish, which changes the last digit and with it the
    # version of a model that is otherwise the same.
    return forest.set_params(n_jobs=1)


def arrays(trees: Sequence[Any], words: int, labels: int) -> dict[str, np.ndarray]:
    """Fitted trees as plain arrays that are answered without walking down a tree (QuickScorer, SIGIR 2015).

    The leaves of all trees stand in one row, in each tree those of texts without a node's word first. A word that a
    text holds rules out, for every node that asks for it, the leaves of texts without it; the answer of a tree is the
    first of its leaves that is left. `answers` (leaves, labels), `first` (trees) its first leaf, and per node, sorted
    by word: `start` and `end` of the leaves ruled out; those of word w are at `of_word[w]` to `of_word[w + 1]`.
    """
    first, asked, start, end, answers = [], [], [], [], []
    before = 0
    for member in trees:
        tree = member.tree_
        absent, present = tree.children_left, tree.children_right
        leaf = absent < 0
        below = leaf.astype(np.int64)
        for node in range(tree.node_count - 1, -1, -1):  # children come after their parent
            if not leaf[node]:
                below[node] = below[absent[node]] + below[present[node]]
        position = np.zeros(tree.node_count, dtype=np.int64)
        for node in range(tree.node_count):
            if not leaf[node]:
                position[absent[node]] = position[node]
                position[present[node]] = position[node] + below[absent[node]]
        first.append(before)
        asked.append(tree.feature[~leaf])
        start.append(before + position[~leaf])
        end.append(before + position[~leaf] + below[absent[~leaf]])
        order = np.flatnonzero(leaf)[np.argsort(position[leaf])]
        value = tree.value[order, 0, :]
        answers.append(value / value.sum(axis=1, keepdims=True))
        before += len(order)
    if not trees:
        empty = np.zeros(0, dtype=np.int32)
        return {
            **dict.fromkeys(("first", "start", "end"), empty),
            "of_word": np.zeros(words + 1, dtype=np.int32),
            "answers": np.zeros((0, labels)),
        }
    word = np.concatenate(asked)
    by_word = np.argsort(word, kind="stable")
    return {
        "first": np.array(first, dtype=np.int32),
        "of_word": np.searchsorted(word[by_word], np.arange(words + 1)).astype(np.int32),
        "start": np.concatenate(start)[by_word].astype(np.int32),
        "end": np.concatenate(end)[by_word].astype(np.int32),
        "answers": np.concatenate(answers),
    }
