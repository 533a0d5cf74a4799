"""The supervisor's own lockdown, codec and protocol code, as an extension module.

Owns: the types of what Rust gives. Never: says more than the extension does.
"""

from typing import Any, Final, final

PROTOCOL: Final[int]
"""Version of the host protocol that this build speaks."""
VERSION: Final[str]
"""Version of this package, which is that of the supervisor it was built with."""

class HostError(Exception):
    """The host cannot be brought up, or was asked for something out of its turn."""

class ChannelError(HostError):
    """The channel carried what is no command, or failed."""

def threads() -> list[str]:
    """Names of this process's threads, the main one first."""

def serve_forks(allowed_threads: int = 1) -> Channel | None:
    """Says that this zygote is warm and forks hosts on request.

    Returns the channel in each new host, and None when the supervisor is gone. A fork is refused, with the threads'
    names, while there are more than `allowed_threads`; only 1 is safe.
    """

def unfit(why: str) -> None:
    """Says that this zygote cannot become warm, in place of `serve_forks`; the process must then exit."""

def adopt_channel() -> Channel:
    """Takes over the channel on descriptor 3 of a host that was started cold. Works once in a process."""

def collapse_heap() -> int:
    """Puts the populated heap and anonymous maps into huge pages; the bytes collapsed, 0 where the kernel cannot."""

def fill_heap() -> int:
    """Takes every hole of the C heap, for good, so that what is allocated next lies together; the bytes taken."""

def trim_heap() -> bool:
    """Gives the pages of the C heap that hold nothing back to the kernel; whether there were any."""

def immortalize(objects: list[Any]) -> int:
    """Ends the counting of references to these objects and to all that they hold; how many. They are never freed.

    0 before CPython 3.12, which counts all objects.
    """

def atfork_libraries() -> list[str]:
    """Paths of the mapped libraries that register fork handlers, which a zygote's forks do not run."""

@final
class Channel:
    """A host's end of its channel to the supervisor. Any thread may use it."""

    @property
    def events_dropped(self) -> int:
        """Events and log lines dropped because the supervisor did not read."""

    @property
    def ahead(self) -> bool:
        """Whether this host was forked before anybody needed it; `launch` says that it can be had."""

    def launch(self, program: str) -> None:
        """Says hello, raises the walls and says that they stand, blocking.

        What is nothing of the tenant's may be done between this and `boot`, while the supervisor reads the walls back.

        Raises HostError after having told the supervisor, and EOFError when it is gone.
        """

    def boot(self) -> dict[str, Any] | None:
        """Waits for the green light and takes the configuration, after `launch`.

        None: the host was told to leave, and has said goodbye. Raises as `launch`. A session id in what comes later is
        a dict: hand it back as it came.
        """

    def failed(self, step: str, detail: str) -> None:
        """Tells the supervisor that the set-up failed at `step`, "configure" or "ready"; before `ready` only."""

    def ready(self, agents: list[str]) -> None:
        """Says which agents are served. The socket does not block from then on."""

    def log(self, level: str, message: str) -> None:
        """A line of the host's own log ("debug", "info", "warn", "error"): before `ready` blocking, then offered."""

    def fileno(self) -> int:
        """The socket's descriptor."""

    def receive(self) -> list[tuple[str, dict[str, Any]]]:
        """The commands that are there, by name. Raises EOFError at the end and ChannelError on nonsense."""

    def take_fd(self) -> int:
        """The oldest received descriptor, which the caller then owns. Raises OSError when there is none."""

    def report(self, name: str, fields: dict[str, Any]) -> None:
        """Queues a report that is never dropped, and writes what the socket takes.

        Long texts are cut to their bounds, as in every host. Raises ValueError for what may not be sent (a name of more
        than 64 bytes, usage that falls, a turn that ends before it starts), and BufferError when more than 8 MiB wait:
        the supervisor does not read, and the host should end.
        """

    def offer(self, name: str, fields: dict[str, Any]) -> bool:
        """Queues an event or a log line, as `report`; dropped and counted, with False, when 1 MiB waits."""

    def flush(self) -> bool:
        """Writes what the socket takes. False: call again when it is writable. Raises EOFError at the end."""
