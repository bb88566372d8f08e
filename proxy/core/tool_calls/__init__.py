"""Tool calls out of the text of a model that has none of its own.

The rules, in the order in which they are applied to an answer:

1. A start marker in any dress, followed by the name of an offered tool or by an object, opens a block (``markers``,
   ``head``). A marker with neither after it is text.
2. A block that is read with certainty is one or more calls (``block``, ``json_lexer``, ``written_as_json``).
3. A block that cannot be read is held for one repair request. It never becomes text.
4. A call in another format, or a fenced block followed by a question, may be an example (``other_formats``). It is
   held, and the model is asked whether it meant to call.
5. What a model writes between reasoning tags is neither text nor a call (``reasoning``).
6. Everything else is text and goes on at once (``scanner``). Held back is the longest suffix that could still become
   one of the above, with the white space before it.

``filter`` applies them. The same events come out however the text was cut. The work is linear in its length, and
what is held is bounded.
"""
