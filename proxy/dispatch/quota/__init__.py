"""What may be sent to one account: requests a minute, requests at once, callers in turn, shared by replicas.

A request passes a ``queue.Queue``. Behind it stands a book of who may send when: a ``memory.MemoryLedger``, or one
that ``sharing.Sharing`` keeps in Redis, which needs the extra ``redis`` and is imported only where it is used.
"""
