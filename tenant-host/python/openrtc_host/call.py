"""What agents' code may do with the LiveKit server of its call.

Owns: the room under the supervisor's tenant, and the credentials that `LiveKitAPI()` finds. Never: holds the API
secret; shows a token.
"""

from __future__ import annotations

import contextvars
import functools
import logging
import os
from dataclasses import dataclass, field
from typing import Any

from livekit import rtc

from openrtc_host import lsb_release
from openrtc_host.stamp import stamped

#: What is missing, and who can give it.
REMEDY = "the operator grants what agents may ask of the server: `host_grants` below `[livekit]` in the configuration"
_REFUSED = ("permission_denied", "unauthenticated")


class MissingGrant(ValueError):
    """The script asks something of the LiveKit server that no grant covers."""


@dataclass(frozen=True)
class Access:
    """What the call of this task may ask of its server."""

    url: str
    grants: str | None = field(repr=False)


_access: contextvars.ContextVar[Access | None] = contextvars.ContextVar("openrtc_host_access", default=None)
_installed = False


class CallRoom(rtc.Room):
    """A room whose name is known before it is joined, and whose metadata names the supervisor's tenant."""

    def __init__(self, name: str, tenant: str) -> None:
        super().__init__()
        self._openrtc = name, tenant

    @property
    def name(self) -> str:
        """Its name."""
        return super().name or self._openrtc[0]

    @property
    def metadata(self) -> str:
        """Its metadata, stamped (decision H3)."""
        return stamped("", super().metadata, self._openrtc[1], {})[1]


def enter(url: str, grants: str | None) -> None:
    """Makes a call's server and grants those of this task and of the tasks it starts.

    The environment has them too, for code that looks there; of several calls at once, those of the last.
    """
    _install()
    _access.set(Access(url, grants))
    os.environ["LIVEKIT_URL"] = url
    if grants is not None:
        os.environ["LIVEKIT_TOKEN"] = grants


def _install() -> None:
    global _installed
    if _installed:
        return
    _installed = True
    lsb_release.spare()
    from livekit.api import LiveKitAPI
    from livekit.api.twirp_client import TwirpClient, TwirpError

    begin, request = LiveKitAPI.__init__, TwirpClient.request

    @functools.wraps(begin)
    def init(self: Any, url: Any = None, api_key: Any = None, api_secret: Any = None, **options: Any) -> None:
        access = _access.get()
        if access is not None and not (api_key or api_secret or options.get("token")):
            url = url or access.url
            if access.grants is not None:
                options["token"] = access.grants
            elif not os.environ.get("LIVEKIT_TOKEN") and not os.environ.get("LIVEKIT_API_SECRET"):
                raise MissingGrant(
                    f"LiveKitAPI() has no credentials in this host, which never sees the API key; {REMEDY}"
                )
        begin(self, url, api_key, api_secret, **options)

    @functools.wraps(request)
    async def ask(self: Any, *args: Any, **options: Any) -> Any:
        try:
            return await request(self, *args, **options)
        except TwirpError as error:
            if _access.get() is None or error.code not in _REFUSED:
                raise
            told = f"{error.message}; {REMEDY}"
            raise TwirpError(error.code, told, status=error.status, metadata=error.metadata) from error

    # Said after every call of the room that was left in order, and of no use to anybody.
    logging.getLogger("livekit").addFilter(lambda record: "drop unknown FFI handle" not in record.getMessage())
    LiveKitAPI.__init__ = init  # type: ignore[method-assign]
    TwirpClient.request = ask  # type: ignore[method-assign]
