"""The README and what it refers to in deploy/docs, as sections, tables and blocks of code."""

import re
from functools import cache

from tests.support.processes import ROOT

FILES = [ROOT / "README.md", *sorted((ROOT / "deploy" / "docs").glob("*.md"))]
_HEADING = re.compile(r"^(#{1,6}) (.+)$")
_CODE = re.compile(r"`([^`]+)`")


@cache
def sections() -> dict[str, str]:
    """The text below each heading, up to the next one."""
    found: dict[str, str] = {}
    for file in FILES:
        title, fenced = "", False
        for line in file.read_text("utf-8").splitlines():
            fenced ^= line.startswith("```")
            if not fenced and (heading := _HEADING.match(line)):
                title = heading[2]
                assert title not in found, f"two sections are called {title!r}"
                found[title] = ""
            else:
                found[title] = f"{found.get(title, '')}{line}\n"
    return found


def table(title: str) -> list[list[str]]:
    """The rows of a section's tables, without their heads."""
    lines = [line for line in sections()[title].splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [row for row in rows if _CODE.search(row[0]) or _CODE.search("".join(row[1:2]))]


def codes(cell: str) -> list[str]:
    """What stands in backticks."""
    return _CODE.findall(cell)


def blocks(language: str, text: str | None = None) -> list[str]:
    """The blocks of code in a language, of one text or of all documents."""
    source = "\n".join(sections().values()) if text is None else text
    return re.findall(rf"^```{language}\n(.*?)^```", source, re.DOTALL | re.MULTILINE)
