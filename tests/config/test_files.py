"""Whether what a configuration was read from is still the same."""

from pathlib import Path

from proxy.config.files import Watch, digest, digests


def test_a_file_is_left_alone_while_it_is_being_written(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("old")
    watch = Watch(digests([str(file)]))
    told = []
    for text in ("old", "old", "n", "ne", "new", "new", "new"):
        file.write_text(text)
        told.append(watch.look(digests(watch.read)))
    assert [False, False, False, False, False, True, True] == told
    file.write_text("old")
    assert [False, False] == [watch.look(digests(watch.read)) for _ in range(2)], "as it was read"


def test_where_a_link_leads_counts(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    link, file = tmp_path / "data", tmp_path / "file"
    link.symlink_to("one")
    file.symlink_to("data/file")
    before = digest(file)
    (tmp_path / "next").symlink_to("two")
    (tmp_path / "next").replace(link)
    assert before != digest(file) == digest(tmp_path / "two/file")


def test_a_file_that_is_not_there_is_something_else(tmp_path: Path) -> None:
    assert digest(tmp_path / "gone") is None
    assert digest(tmp_path) is None
