"""Azure blobs that are written as a whole, even if two processes write the same one."""

from __future__ import annotations

import io
import uuid
from typing import Any

# So much is in memory; a blob has 50,000 blocks at most.
_BLOCK = 16 * 2**20
# As its file system marks what is no directory.
_METADATA = {"is_directory": "false"}


class Blob(io.RawIOBase):
    """A blob that replaces the old one when it is committed.

    A file of the file system doesn't do this: it is committed when it is closed, also after an error. In older versions
    two writers use the same names for their blocks, so one may commit the blocks of the other.

    :param files: the file system, `adlfs`
    :param path: `container/name`
    """

    def __init__(self, files: Any, path: str) -> None:
        self._files = files
        self._container, _, self._name = path.partition("/")
        self._held = bytearray()
        self._blocks: list[str] = []

    def writable(self) -> bool:
        """Tell that it can be written."""
        return True

    def write(self, data: Any) -> int:
        """Take all data, and send it block by block."""
        self._held += data
        while len(self._held) > _BLOCK:
            self._send(_BLOCK)
        return len(data)

    def commit(self) -> None:
        """Make the blob visible, in one request."""
        if not self._blocks:
            self._do("upload_blob", bytes(self._held), overwrite=True, metadata=_METADATA)
            return
        self._send(len(self._held))
        from azure.storage.blob import BlobBlock

        self._do("commit_block_list", [BlobBlock(block_id=one) for one in self._blocks], metadata=_METADATA)

    def _send(self, size: int) -> None:
        block = uuid.uuid4().hex
        self._do("stage_block", block, bytes(self._held[:size]), length=size)
        self._blocks.append(block)
        del self._held[:size]

    def _do(self, operation: str, *arguments: Any, **named: Any) -> None:
        from fsspec.asyn import sync

        async def done() -> None:
            async with self._files.service_client.get_blob_client(self._container, self._name) as client:
                await getattr(client, operation)(*arguments, **named)

        sync(self._files.loop, done)
