"""The code that Dagster has loaded, as its webserver sees it."""

import json
import urllib.error
import urllib.request

from mlops_assets.failures import TransientFailure

_RELOAD = """mutation { reloadRepositoryLocation(repositoryLocationName: "mlops_assets") {
  __typename ... on WorkspaceLocationEntry { locationOrLoadError { __typename ... on PythonError { message } } }
} }"""


class CodeLocation:
    """The location `mlops_assets` at the webserver `url`."""

    def __init__(self, url: str) -> None:
        self._url = url

    def reload(self) -> None:
        """Have the code loaded anew; raises `TransientFailure` where nobody can be asked or the code is bad."""
        request = urllib.request.Request(  # noqa: S310  an address of the user's own settings
            f"{self._url}/graphql",
            data=json.dumps({"query": _RELOAD}).encode(),
            headers={"Content-Type": "application/json"},
        )
        how = "set DAGSTER_URL to the webserver's address, or press Reload definitions there"
        try:
            with urllib.request.urlopen(request, timeout=40) as answer:  # noqa: S310  as above
                told = json.load(answer)["data"]["reloadRepositoryLocation"]
        except (urllib.error.URLError, OSError, ValueError, KeyError, TypeError) as error:
            raise TransientFailure(f"{self._url} did not reload the code ({error}): {how}") from error
        loaded = told.get("locationOrLoadError") or {}
        if loaded.get("__typename") != "RepositoryLocation":
            message = (loaded.get("message") or told["__typename"]).strip().splitlines()[0]
            raise TransientFailure(f"{self._url} could not load the new code: {message}")
