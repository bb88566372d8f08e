"""Links of the documents lead to files and headings that are there."""

import re
from pathlib import Path

import pytest

from tests.support.processes import ROOT

DOCUMENTS = [
    *ROOT.glob("*.md"),
    *(ROOT / ".github").glob("*.md"),
    *(path for path in (ROOT / "deploy").rglob("*.md") if "node_modules" not in path.parts),
]


def anchors(file: Path) -> set[str]:
    """The names that GitHub gives a document's headings."""
    text = re.sub(r"^```.*?^```", "", file.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_links(document: Path) -> None:
    text = re.sub(r"^```.*?^```", "", document.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        if path.startswith("http"):
            continue
        file = (document.parent / path).resolve() if path else document
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target
