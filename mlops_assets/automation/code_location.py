"""The code that Dagster has loaded, as its webserver sees it."""

import json
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit

import dagster as dg
from pydantic import Field

from mlops_assets.failures import TransientFailure
from mlops_assets.proxies import through_proxy
from mlops_assets.serving.options import is_loopback

LOCATION = "mlops_assets"
_RELOAD = """mutation ($name: String!) { reloadRepositoryLocation(repositoryLocationName: $name) {
  __typename ... on WorkspaceLocationEntry { locationOrLoadError { __typename ... on PythonError { message } } }
} }"""


class CodeLocation(dg.ConfigurableResource):
    """The pipeline's location at the webserver: `mlops_assets`, or the name that Dagster's chart gives it."""

    url: str = Field(description="The webserver that is asked to load new code: DAGSTER_RELOAD_URL, else DAGSTER_URL.")

    def reload(self, name: str = LOCATION) -> None:
        """Have the code loaded anew; raises `TransientFailure` where nobody can be asked or the code is bad."""
        request = urllib.request.Request(  # noqa: S310  an address of the user's own settings
            f"{self.url}/graphql",
            data=json.dumps({"query": _RELOAD, "variables": {"name": name}}).encode(),
            headers={"Content-Type": "application/json"},
        )
        how = "set DAGSTER_URL to the webserver's address, or press Reload definitions there"
        try:
            with self._open(request) as answer:
                reply = json.load(answer)["data"]["reloadRepositoryLocation"]
        except (urllib.error.URLError, OSError, ValueError, KeyError, TypeError) as error:
            raise TransientFailure(f"{self.url} did not reload the code ({error}{self._through()}): {how}") from error
        loaded = reply.get("locationOrLoadError") or {}
        if loaded.get("__typename") != "RepositoryLocation":
            message = (loaded.get("message") or reply["__typename"]).strip().splitlines()[0]
            raise TransientFailure(f"{self.url} could not load the new code: {message}")

    def _open(self, request: urllib.request.Request) -> Any:
        """No proxy knows the way to a webserver on this machine."""
        opener = urllib.request.build_opener(*([urllib.request.ProxyHandler({})] if self._here() else []))
        return opener.open(request, timeout=40)

    def _here(self) -> bool:
        return is_loopback(urlsplit(self.url).hostname or "")

    def _through(self) -> str:
        return "" if self._here() else through_proxy(self.url)
