# SPDX-License-Identifier: Apache-2.0
"""The few requests to an API server that this package makes itself, with the administrator's certificate."""

import http.client
import json
import ssl
from pathlib import Path
from typing import Final

from devcluster.pki import KeyPair
from devcluster.ports import LOOPBACK

_TIMEOUT: Final = 5.0
_OK: Final = 200


class Probe:
    """Asks one API server on loopback; never through a proxy, whatever the environment says."""

    def __init__(self, *, port: int, ca: Path, pair: KeyPair) -> None:
        """Prepare to ask the API server on `port`."""
        self._port = port
        self._tls = ssl.create_default_context(cafile=str(ca))
        self._tls.load_cert_chain(pair.cert, pair.key)

    def is_ready(self) -> bool:
        """Tell whether the API server says that it is ready."""
        return self._get("/readyz") is not None

    def exists(self, path: str) -> bool:
        """Tell whether there is an object at this path; False also when the API server does not answer."""
        return self._get(path) is not None

    def version(self) -> str | None:
        """Return the API server's version such as `v1.36.3`, or None when it does not answer."""
        body = self._get("/version")
        return None if body is None else str(json.loads(body)["gitVersion"])

    def _get(self, path: str) -> bytes | None:
        connection = http.client.HTTPSConnection(LOOPBACK, self._port, timeout=_TIMEOUT, context=self._tls)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()
        return body if response.status == _OK else None
