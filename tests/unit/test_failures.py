"""Which failures a rerun may heal."""

import pytest

from mlops_assets.deploy.docker.engine import EngineDown, PullFailed, PushFailed
from mlops_assets.failures import OutsideFailure, PermanentFailure, TransientFailure, rerun_may_help
from mlops_assets.training.bert.hub import HubUnreachable
from mlops_assets.versioning.dvc.commands import DvcFailure
from mlops_assets.versioning.git.commands import GitFailure


@pytest.mark.parametrize(
    "failure",
    [
        GitFailure("git fetch failed in /x: fatal: detected dubious ownership in repository at '/x'"),
        GitFailure("git fetch failed in /x: fatal: '/gone.git' does not appear to be a git repository"),
        GitFailure("git fetch failed in /x: fatal: repository 'https://example.invalid/a.git/' not found"),
        GitFailure("git fetch failed in /x: git@example.invalid: Permission denied (publickey)."),
        GitFailure("git fetch failed in /x: fatal: could not read Username for 'https://example.invalid'"),
        GitFailure("git fetch failed in /x: Host key verification failed."),
        GitFailure("/x/.pipeline is no folder: git cannot run there"),
        GitFailure("git hash-object failed in /x: error: file write error: No space left on device"),
        GitFailure("git fetch failed: fatal: unable to find remote helper for 'ftq'"),
        DvcFailure("the DVC remote did not answer: [Errno 30] Read-only file system: '/remote'"),
        DvcFailure("dvc push failed: Bucket 'reviews' does not exist"),
        DvcFailure("the DVC remote did not answer: An error occurred (403) when calling HeadObject: Forbidden"),
        DvcFailure("the DVC remote did not answer: Unable to locate credentials"),
        DvcFailure("the DVC remote did not answer: An error occurred (InvalidAccessKeyId): no such key"),
        DvcFailure("dvc pull failed: Checkout failed for following targets: x.csv; Is your cache up to date?"),
        PushFailed("localhost:5000/x:1 was not pushed: denied: requested access to the resource is denied"),
        PushFailed("ghcr.io/x:1 was not pushed: unauthorized: authentication required"),
        PullFailed("x is neither here nor does its registry give it: manifest for x not found: manifest unknown"),
        EngineDown("no Docker engine answers ([Errno 13] Permission denied): start it"),
        HubUnreachable("x cannot be fetched from the hub (OSError: [Errno 28] No space left on device): try again"),
        HubUnreachable("x cannot be fetched from the hub (OfflineModeIsEnabled: offline mode is enabled): try again"),
        PermanentFailure("the network is slow"),
    ],
    ids=lambda failure: str(failure)[-40:],
)
def test_what_waiting_cannot_heal_is_not_tried_again(failure) -> None:
    assert not rerun_may_help(failure)


@pytest.mark.parametrize(
    "failure",
    [
        GitFailure("git fetch failed in /x: fatal: unable to access 'https://x/': Could not resolve host: x"),
        GitFailure("git fetch gave no answer in 300 s"),
        GitFailure("git fetch failed in /x: fatal: the remote end hung up unexpectedly"),
        GitFailure("git fetch failed: ssh: connect to host x port 22: Connection refused"),
        DvcFailure("the DVC remote did not answer: Could not connect to the endpoint URL"),
        DvcFailure(
            "the DVC remote did not answer: An error occurred (SlowDown) (403): Please reduce your request rate"
        ),
        PushFailed("x:1 was not pushed: received unexpected HTTP status: 503 Service Unavailable"),
        PushFailed("x:1 was not pushed: toomanyrequests: too many requests, access denied for a while"),
        EngineDown("no Docker engine answers (timed out): start it"),
        HubUnreachable("x cannot be fetched from the hub (ConnectError: [Errno 101] Network is unreachable)"),
        TransientFailure("the store answers HTTP 403: run again"),
        OutsideFailure("no reason given"),
    ],
    ids=lambda failure: str(failure)[-40:],
)
def test_what_waiting_may_heal_is_tried_again(failure) -> None:
    assert rerun_may_help(failure)
