"""The files of the archive that hold what it has no more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pyarrow.fs import FileSelector
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Operation, Snapshot

_REPLACED = (Operation.DELETE, Operation.OVERWRITE)


def has_superseded(table: Table) -> bool:
    """Return whether earlier states of a table have rows that were replaced since."""
    snapshots = table.snapshots()
    return len(snapshots) > 1 and any(each.summary and each.summary.operation in _REPLACED for each in snapshots)


def purge(table: Table) -> None:
    """Forget the earlier states of a table, and delete the files that its present one does not have.

    Nobody else writes the table, so that files that belong to no state were left by a run that was interrupted.
    """
    current = table.current_snapshot()
    if current is None:
        return
    own = set(_files(table, [current]))
    old = [each for each in table.snapshots() if each.snapshot_id != current.snapshot_id]
    # First the states, so that nobody is led to a file that is gone. What an interruption leaves is found below.
    unneeded = {*_files(table, old), *_listed(table)} - own
    if old:
        table.maintenance.expire_snapshots().by_ids([each.snapshot_id for each in old]).commit()
    for each in sorted(unneeded):
        table.io.delete(each)


def _files(table: Table, snapshots: Iterable[Snapshot]) -> Iterator[str]:
    """Yield where the files of these states are."""
    for snapshot in snapshots:
        yield snapshot.manifest_list
        for manifest in snapshot.manifests(table.io):
            yield manifest.manifest_path
            # Those that a manifest says were deleted are there still.
            for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=False):
                yield entry.data_file.file_path


def _listed(table: Table) -> Iterator[str]:
    """Yield the files that are there, where the file system can be listed."""
    if not isinstance(table.io, PyArrowFileIO):
        return
    location = table.location().rstrip("/")
    scheme, netloc, path = PyArrowFileIO.parse_location(location)
    files = table.io.fs_by_scheme(scheme, netloc)
    for found in files.get_file_info(FileSelector(path, recursive=True, allow_not_found=True)):
        if found.is_file and found.path.endswith((".parquet", ".avro")):
            yield location + found.path.removeprefix(path)
