"""SQL over the documented views: read only, on a copy, in a process that can do nothing else.

A statement comes from a person or an agent, and the engine can read files, load code and open
connections. Three things stand in the way, and each is enough alone. ``allowed`` takes one SELECT
that names documented views only. The engine is opened read only, without access to anything
outside, with its settings locked. And before it sees the statement, ``child`` gives up the right
to open any file or socket, in a process that has limits on memory, time and what it writes.
"""

from whatworks.sql.ask import ask, require_text, starting
from whatworks.sql.limits import Limits

__all__ = ["Limits", "ask", "require_text", "starting"]
