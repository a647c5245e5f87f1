"""`make logs`: the last lines of what serves, of its requests, of the gateway, or of the server that served before."""

import time
from typing import get_args

from mlops_assets import outside
from mlops_assets.deploy.backend import Part
from mlops_assets.deploy.kept_logs import kept_logs
from mlops_assets.failures import PermanentFailure
from mlops_assets.settings import Settings

_LINES = 200


def show_log(settings: Settings, what: str, *, follow: bool) -> int:
    """Print a log: of a part, of `service` if `what` is empty, or of `previous`; `follow` prints what comes too."""
    if what == "previous":
        return _show_previous(settings)
    part: Part | None = next((part for part in get_args(Part) if part == (what or "service")), None)
    if part is None:
        raise PermanentFailure(
            f"WHAT must be {', '.join(get_args(Part))} or previous, got {what!r}; daemon, door and the like are parts "
            "of a team's server, which is not up here: make up starts it"
        )
    empty = True
    for text in outside.service(settings).read_log(part, _LINES, follow=follow):
        print(text, end="", flush=follow)
        empty = empty and not text
    if empty:
        nothing = "there is none, as with target process" if part == "gateway" else "nothing serves, or it said nothing"
        raise PermanentFailure(f"the {part} has no log: {nothing}. What served before: make logs WHAT=previous")
    return 0


def _show_previous(settings: Settings) -> int:
    kept = kept_logs(settings.service_folder)
    if not kept:
        raise PermanentFailure("no server has ended here yet, so there is no log of one: make logs shows what serves")
    ended = time.strftime("%Y-%m-%d %H:%M", time.localtime(kept[0].stat().st_mtime))
    print(f"{kept[0].stem}, which ended {ended}; the {len(kept)} newest are in {kept[0].parent}:")
    print("\n".join(kept[0].read_text(encoding="utf-8").splitlines()[-_LINES:]))
    return 0
