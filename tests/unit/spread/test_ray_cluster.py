import importlib.util
import sys
from types import SimpleNamespace

import pytest

from mlops_assets.failures import BadSetting, TransientFailure
from mlops_assets.spread import ray_cluster
from mlops_assets.spread.ray_cluster import RayCluster, refuse_without_ray, spread_at
from mlops_assets.spread.spread import here

ADDRESS = "ray://head:10001"


def test_without_an_address_pieces_are_done_here_one_when_it_is_asked_for():
    done = []
    results = iter(spread_at(None, print)(lambda piece: done.append(piece) or piece, [1, 2]))
    assert spread_at(None, print) is here
    assert next(results) == 1
    assert done == [1]


def test_no_pieces_need_no_cluster():
    assert list(RayCluster(ADDRESS, print)(str, [])) == []


def test_an_address_without_ray_is_refused_before_a_run(monkeypatch):
    monkeypatch.setattr(ray_cluster, "find_spec", lambda _: None)
    refuse_without_ray(None)
    with pytest.raises(BadSetting, match=r"'ray://head:10001', but ray is not installed: pip install .*locks/ray.txt"):
        refuse_without_ray(ADDRESS)


def test_an_address_with_ray_is_taken(monkeypatch):
    monkeypatch.setattr(ray_cluster, "find_spec", lambda _: importlib.util.find_spec("json"))
    refuse_without_ray(ADDRESS)


@pytest.mark.parametrize(("words", "tries"), [("Initialization failure from server: x", 3), ("connection timeout", 1)])
def test_only_a_head_that_answered_is_asked_again(words, tries, monkeypatch):
    asked = []

    def init(address, **_):
        asked.append(address)
        raise ConnectionError(words)

    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(init=init))
    with pytest.raises(TransientFailure, match=f"no Ray cluster answers at RAY_ADDRESS={ADDRESS} .{words}"):
        RayCluster(ADDRESS, print)(str, [1])
    assert asked == [ADDRESS] * tries
