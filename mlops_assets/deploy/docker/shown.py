"""What the service's page shows, brought to the host of DEPLOY_HOST, where the server's container reads it."""

import hashlib
import json
from contextlib import closing

from mlops_assets.deploy.docker.gateway import project_on
from mlops_assets.deploy.docker.ssh_machine import SshMachine
from mlops_assets.files import replace_file
from mlops_assets.serving.overview_file import LAST_SUCCESS, OVERVIEW, SHOWN
from mlops_assets.settings import Settings


def show_there(settings: Settings) -> None:
    """Copy the files to the host unless they are there already; raises `EngineDown`."""
    own, project = settings.service_folder / SHOWN, project_on(settings.port)
    files = {name: (own / name).read_text("utf-8") for name in (OVERVIEW, LAST_SUCCESS) if (own / name).is_file()}
    digest = hashlib.sha256(json.dumps([settings.deploy_host, project, files]).encode()).hexdigest()
    record = settings.service_folder / "shown_there"
    if not settings.deploy_host or (record.is_file() and record.read_text(encoding="ascii") == digest):
        return
    with closing(SshMachine(settings.deploy_host)) as machine:
        folder = machine.folder(project, own)
        folder.open_to_all()
        for name, text in files.items():
            folder.write(name, text)
    replace_file(record, digest)
