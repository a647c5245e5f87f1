"""A training process killed with SIGKILL in mid-epoch, called again, ends as an undisturbed one."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]

PROGRAM = """
import json, os, signal, sys
from pathlib import Path
import torch
from mlops_assets.training.bert import checkpoint
from tests.tiny_bert import train_tiny

torch.set_num_threads(1)
root, saves = Path(sys.argv[1]), int(sys.argv[2])
really = checkpoint.save

def save(*arguments):
    global saves
    really(*arguments)
    saves -= 1
    if saves == 0:
        os.kill(os.getpid(), signal.SIGKILL)

checkpoint.save = save
trained = train_tiny(root / "model", root / "checkpoints", report=lambda line: print(line, file=sys.stderr),
                     checkpoint_steps=4)
print(json.dumps(trained.metrics))
"""


def run(root: Path, kill_at_save: int = 0) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, str(root), str(kill_at_save)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )


@pytest.mark.long
def test_a_training_killed_in_mid_epoch_continues_and_ends_with_the_same_metrics(tmp_path: Path) -> None:
    undisturbed = run(tmp_path / "undisturbed")
    assert undisturbed.returncode == 0, undisturbed.stderr

    # 13 steps an epoch, saved at steps 4, 8, 12, 13 (its end), 16, 20: the fifth save is in the second epoch.
    killed = run(tmp_path / "killed", kill_at_save=5)
    assert killed.returncode == -signal.SIGKILL
    resumed = run(tmp_path / "killed")
    assert resumed.returncode == 0, resumed.stderr

    assert "continues from the checkpoint at step 16 of 39" in resumed.stderr
    expected, found = (json.loads(result.stdout) for result in (undisturbed, resumed))
    assert found["training"]["resumed_at"] == [16]
    assert {**found, "training": None} == {**expected, "training": None}
