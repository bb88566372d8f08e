"""The opening and closing lines of code blocks in markdown. A marker on the line is not a language."""

import re

_INFO = r"(?!(?i:function))[\w+.-]{0,32}"
FENCE = re.compile(rf"`{{3,16}}[ \t]{{0,16}}({_INFO})[ \t\r]{{0,16}}\n")
"""A whole line, its language as the group."""
FENCE_BEGUN = re.compile(rf"(?:`{{1,2}}|`{{3,16}}[ \t]{{0,16}}{_INFO}[ \t\r]{{0,16}})\Z")
"""The beginning of one, at the end of a text."""
