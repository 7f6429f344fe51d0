"""The wish to stop, as all machines hear of it.

It has a process of its own, which imports nothing that it does not need.
"""

import asyncio


class Stop:
    """An actor that lets everybody wait for a stop."""

    def __init__(self) -> None:
        self._wanted = asyncio.Event()

    async def wait(self) -> None:
        """Returns when a stop is wanted."""
        await self._wanted.wait()

    async def order(self) -> None:
        """Want a stop."""
        self._wanted.set()
