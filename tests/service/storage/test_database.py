"""One server owns the data folder, and its database stays whole whatever happens in a transaction."""

from __future__ import annotations

import sqlite3
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from proofrank.service.storage.data_folder import DataFolder, DataFolderError, default_data_folder
from proofrank.service.storage.database import DATABASE_FILE, Database

NOTES = "CREATE TABLE notes (text TEXT NOT NULL)"
AUTHORS = "ALTER TABLE notes ADD COLUMN author TEXT; CREATE INDEX by_author ON notes (author)"


def insert(text: str, connection: sqlite3.Connection) -> None:
    """Writes one note."""
    connection.execute("INSERT INTO notes (text) VALUES (?)", (text,))


def notes(connection: sqlite3.Connection) -> list[str]:
    """Returns all notes."""
    return [text for (text,) in connection.execute("SELECT text FROM notes ORDER BY rowid")]


def test_a_second_opening_of_a_data_folder_is_refused_until_the_first_is_closed(tmp_path: Path) -> None:
    first = DataFolder.open(tmp_path / "data")
    with pytest.raises(DataFolderError, match=r"in use by another server \(process \d+\); each server needs"):
        DataFolder.open(tmp_path / "data")
    first.close()
    DataFolder.open(tmp_path / "data").close()


def test_a_data_folder_that_cannot_be_made_is_refused_with_the_setting_that_names_another(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(DataFolderError, match="Not a directory; data_folder sets another"):
        DataFolder.open(tmp_path / "file" / "data")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems keep a user's data elsewhere")
def test_the_default_data_folder_is_where_the_user_keeps_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/srv/data")
    assert default_data_folder() == Path("/srv/data/proofrank")
    # By the standard, a relative path counts as unset.
    monkeypatch.setenv("XDG_DATA_HOME", "data")
    in_home = Path.home() / ".local" / "share" / "proofrank"
    assert default_data_folder() == in_home
    monkeypatch.delenv("XDG_DATA_HOME")
    assert default_data_folder() == in_home


def test_an_older_file_gets_the_scripts_that_it_has_not_had(tmp_path: Path) -> None:
    old = Database.open(tmp_path, [NOTES])
    old.transact(lambda connection: insert("kept", connection))
    old.close()
    new = Database.open(tmp_path, [NOTES, AUTHORS])
    assert new.transact(notes) == ["kept"]
    assert new.transact(lambda connection: connection.execute("SELECT author FROM notes").fetchall()) == [
        (None,)
    ]
    new.close()


def test_a_script_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    Database.open(tmp_path, [NOTES]).close()
    with pytest.raises(DataFolderError, match="no such table: authors"):
        Database.open(tmp_path, [NOTES, f"{AUTHORS}; DROP TABLE authors"])
    again = Database.open(tmp_path, [NOTES, AUTHORS])
    assert again.transact(notes) == []
    again.close()


def test_a_file_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    Database.open(tmp_path, [NOTES, AUTHORS]).close()
    with pytest.raises(DataFolderError, match="newer version of proofrank"):
        Database.open(tmp_path, [NOTES])


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / DATABASE_FILE).write_text("no database\n" * 100, encoding="utf-8")
    with pytest.raises(DataFolderError, match="file is not a database"):
        Database.open(tmp_path)


def test_a_transaction_that_raises_is_undone_and_the_next_one_works(tmp_path: Path) -> None:
    database = Database.open(tmp_path, [NOTES])

    def fail(connection: sqlite3.Connection) -> None:
        insert("half", connection)
        raise ValueError("in the middle")

    with pytest.raises(ValueError, match="in the middle"):
        database.transact(fail)
    database.transact(lambda connection: insert("whole", connection))
    assert database.transact(notes) == ["whole"]
    database.close()


def test_a_full_disk_undoes_the_transaction_and_what_was_stored_stays(tmp_path: Path) -> None:
    database = Database.open(tmp_path, [NOTES])
    database.transact(lambda connection: insert("stored", connection))
    database.transact(lambda connection: connection.execute("PRAGMA max_page_count = 3").fetchall())
    with pytest.raises(sqlite3.OperationalError, match="full"):
        database.transact(lambda connection: insert("x" * 100_000, connection))
    database.transact(lambda connection: connection.execute("PRAGMA max_page_count = 1000").fetchall())
    database.transact(lambda connection: insert("next", connection))
    assert database.transact(notes) == ["stored", "next"]
    database.close()


def test_transactions_of_many_threads_run_one_after_the_other(tmp_path: Path) -> None:
    database = Database.open(tmp_path, [NOTES])

    def append(_: int) -> None:
        # Each reads, then writes: two at once would see the same number.
        database.transact(lambda connection: insert(str(len(notes(connection))), connection))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(append, range(40)))
    assert database.transact(notes) == [str(number) for number in range(40)]
    database.close()
