"""The whole pipeline with target docker: a process gives way to a container, nothing is deployed twice, and back."""

import mmap
import shutil
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from mlops_assets import outside
from mlops_assets.cli.data import roll_back
from mlops_assets.cli.run import run_pipeline
from mlops_assets.definitions import build_definitions
from mlops_assets.deploy.docker.engine import DockerEngine
from mlops_assets.settings import Settings
from tests.repository import ROOT
from tests.user_clone import free_port, make_clone, settings_of, write_params

pytestmark = [pytest.mark.docker, pytest.mark.long]

CANARY = "canary-7d0e6f8a-that-must-not-fly"
CLOCK = "2026-02-15T00:00:00Z"
OTHER = {"trees": 12, "max_leaf_nodes": 30, "strengths": [1.0], "votes": [0.3]}


@pytest.fixture(scope="module")
def place(engine: DockerEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int]]:
    """A clone in which the pipeline ran once with target process."""
    root, port = make_clone(tmp_path_factory.mktemp("user") / "clone"), free_port()
    (root / ".env").write_text(f"AUTHOR_KEY={CANARY}\nAPI_KEYS=\nREVIEWER={CANARY}\n", encoding="utf-8")
    (root / "locks").mkdir()
    shutil.copyfile(ROOT / "locks" / "serving.txt", root / "locks" / "serving.txt")
    try:
        assert run_pipeline(settings_of(root, NOW=CLOCK, PORT=str(port))) == 0
        yield root, port
    finally:
        service = outside.service(docker_settings((root, port)))
        service.stop()
        service.prune(frozenset(), print)


def docker_settings(place: tuple[Path, int]) -> Settings:
    root, port = place
    return settings_of(root, NOW=CLOCK, PORT=str(port), DEPLOY_TARGET="docker")


def health(place: tuple[Path, int]) -> dict[str, str]:
    return httpx.get(f"http://127.0.0.1:{place[1]}/health", timeout=60).json()


def test_the_process_gives_way_to_the_pushed_and_proven_image(
    engine: DockerEngine, place: tuple[Path, int], capsys: pytest.CaptureFixture[str]
) -> None:
    before = health(place)
    assert run_pipeline(docker_settings(place)) == 0
    said = capsys.readouterr().out
    assert "building image" in said
    assert "Step 1/" not in said, "the engine's own lines are for failures"
    assert "the service moves from target process to docker" in said
    service = outside.service(docker_settings(place))
    live = service.live()
    assert live is not None
    assert (live.target, live.release_version) == ("docker", before["release_version"])
    assert health(place)["release_version"] == before["release_version"]
    image = service.packaged(live.release_version)
    assert image is not None
    assert {"latest", f"v{live.model_version}"} < set(image.tags)
    assert any(tag.startswith("main-") for tag in image.tags)
    assert "answers its" in said.partition(image.reference)[2]
    (container,) = engine.containers(f"mlops.release={live.release_version}")
    assert container.attrs["Config"]["Image"] == image.reference
    answer = httpx.post(f"{live.url}/predict", json={"text": "bagus sekali, mantap"}, timeout=60).json()
    assert answer["model_version"] == live.model_version


def test_no_layer_of_the_image_holds_a_secret_the_history_or_data(
    engine: DockerEngine, place: tuple[Path, int], tmp_path: Path
) -> None:
    service = outside.service(docker_settings(place))
    live = service.live()
    assert live is not None
    image = service.packaged(live.release_version)
    assert image is not None
    saved = tmp_path / "image.tar"
    with saved.open("wb") as file:
        for chunk in engine.client.images.get(image.reference).save():
            file.write(chunk)
    # A layer is a tar within the tar, neither compressed: every byte of every file is looked at.
    with saved.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        assert content.find(live.model_version.encode()) > 0
        assert content.find(CANARY.encode()) == -1
    with tarfile.open(saved) as layers:
        for layer in (member for member in layers.getmembers() if member.name.endswith("layer.tar")):
            with tarfile.open(fileobj=layers.extractfile(layer)) as files:
                names = [f"/{name}" for name in files.getnames()]
            assert [name for name in names if "/.git" in name or name.endswith((".env", ".parquet", ".csv"))] == []


def test_a_second_run_builds_and_deploys_nothing(place: tuple[Path, int], capsys: pytest.CaptureFixture[str]) -> None:
    service = outside.service(docker_settings(place))
    before = service.live()
    assert before is not None
    assert run_pipeline(docker_settings(place)) == 0
    assert "building image" not in capsys.readouterr().out
    assert service.live() == before
    assert [entry.outcome for entry in service.log.entries()] == ["live", "stopped", "live"]


def test_a_rollback_needs_no_registry_and_holds_until_there_is_a_new_release(
    place: tuple[Path, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = health(place)["release_version"]
    settings = docker_settings(place)
    # So few reviews show nothing beyond noise: a wide margin lets the new model through.
    write_params(
        place[0],
        classic=OTHER,
        evaluate={
            "rounds": 200,
            "worse_points": 100,
            "anchor_points": 100,
            "slice_reviews": 100_000,
            "max_calibration_error": 1,
        },
    )
    forced = settings_of(place[0], NOW=CLOCK, PORT=str(place[1]), DEPLOY_TARGET="docker", FORCE_RETRAIN="1")
    assert run_pipeline(forced) == 0
    second = health(place)["release_version"]
    assert second != first
    with monkeypatch.context() as patched:
        patched.setattr(DockerEngine, "push", None)
        patched.setattr(DockerEngine, "build", None)
        started = time.monotonic()
        assert roll_back(settings, "") == 0
        assert time.monotonic() - started < 10
    assert health(place)["release_version"] == first
    assert run_pipeline(settings_of(place[0], NOW=CLOCK, PORT=str(place[1]), DEPLOY_TARGET="docker")) == 0
    assert health(place)["release_version"] == first
    job = build_definitions(settings).resolve_job_def("rollback")
    config = {"ops": {"put_an_earlier_release_live": {"config": {"to": second}}}}
    assert job.execute_in_process(run_config=config).success
    assert health(place)["release_version"] == second


def test_a_registry_out_of_reach_leaves_the_old_one_serving_and_a_rerun_heals(
    engine: DockerEngine,
    place: tuple[Path, int],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mlops_assets.assets.failing.RETRY_AFTER_S", 0)
    before, registry = health(place), f"localhost:{free_port()}"
    write_params(place[0], classic={**OTHER, "trees": 14})
    given = {"NOW": CLOCK, "PORT": str(place[1]), "DEPLOY_TARGET": "docker", "FORCE_RETRAIN": "1"}
    try:
        assert run_pipeline(settings_of(place[0], **given, IMAGE_REGISTRY=registry)) == 1
    finally:
        for image in engine.client.images.list(f"{registry}/{outside.IMAGE_NAME}"):
            for name in filter(lambda one: one.startswith(registry), image.tags):
                engine.client.images.remove(name)
    assert "was not pushed" in capsys.readouterr().out
    assert health(place) == before
    assert run_pipeline(docker_settings(place)) == 0
    assert health(place)["release_version"] != before["release_version"]


def test_target_process_takes_the_port_back(place: tuple[Path, int]) -> None:
    before = health(place)["release_version"]
    assert run_pipeline(settings_of(place[0], NOW=CLOCK, PORT=str(place[1]))) == 0
    live = outside.service(settings_of(place[0], NOW=CLOCK, PORT=str(place[1]))).live()
    assert live is not None
    assert (live.target, live.release_version) == ("process", before)
