"""A program for DVC's own Python: asks the default remote of the repository in the working directory about its objects.

`dvc push` and `dvc status --cloud` answer from an index or from the presence of a folder's list alone; this looks.
Called as `python remote_objects.py holds|delete|read|list`, objects as a JSON list on standard input, a JSON list back.
"""

import json
import sys
import time


def main() -> None:
    from dvc.repo import Repo  # pyright: ignore[reportMissingImports]  # runs in DVC's environment, not in the project's

    question, objects = sys.argv[1], json.load(sys.stdin)
    remote = Repo().cloud.get_remote_odb()
    if question == "holds":
        answer = sorted(set(remote.oids_exist(objects)))
    elif question == "delete":
        for name in objects:
            if remote.exists(name):
                remote.delete(name)
        answer = []
    elif question == "read":
        answer = [remote.fs.cat_file(remote.oid_to_path(name)).decode() for name in objects]
    else:
        answer = [[name, _age_s(remote, name)] for name in remote.all()]
    sys.stdout.write(json.dumps(answer) + "\n")


def _age_s(remote: object, name: str) -> float | None:
    information = remote.fs.info(remote.oid_to_path(name))  # pyright: ignore[reportAttributeAccessIssue]  # DVC has no types
    written = information.get("LastModified") or information.get("mtime")
    if written is None:
        return None
    return time.time() - (written if isinstance(written, (int, float)) else written.timestamp())


if __name__ == "__main__":
    main()
