"""The pure part: what a request means and how two wires translate. No sockets, no asyncio, no clock."""
