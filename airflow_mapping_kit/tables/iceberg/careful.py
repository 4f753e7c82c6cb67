"""Storage in which what pyiceberg deletes of a refused commit is there until the table itself denies the commit."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from pyiceberg.io import FileIO

if TYPE_CHECKING:
    from pyiceberg.io import InputFile, OutputFile

log = logging.getLogger(__name__)


class CarefulIO(FileIO):
    """The storage of a table during one commit.

    Of a commit that is refused pyiceberg deletes the manifests. boto3 and proxies send a request again whose answer
    was lost, and the second one is refused because the first was taken: the table would name files that are gone.

    :param io: the table's own
    """

    def __init__(self, io: FileIO) -> None:
        super().__init__(io.properties)
        self._io = io
        self._waiting: list[str] = []

    def new_input(self, location: str) -> InputFile:
        """Return a file to read."""
        return self._io.new_input(location)

    def new_output(self, location: str) -> OutputFile:
        """Return a file to write."""
        return self._io.new_output(location)

    def delete(self, location: str | InputFile | OutputFile) -> None:
        """Have a file deleted later."""
        self._waiting.append(location if isinstance(location, str) else location.location)

    def delete_what_waits(self) -> None:
        """Delete them now."""
        while self._waiting:
            location = self._waiting.pop()
            try:
                self._io.delete(location)
            except FileNotFoundError:
                pass
            except OSError as error:
                log.warning("The metadata file %s can't be removed: %s", location, error)
