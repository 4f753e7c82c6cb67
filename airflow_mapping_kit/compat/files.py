"""Where DAG files are, and reading them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mapping_kit.compat.names import AIRFLOW_3

if TYPE_CHECKING:
    from collections.abc import Sequence


class DagFolder(NamedTuple):
    """A folder of DAG files.

    :param bundle: the bundle that it is, whose name Airflow 3 keeps with every DAG; `None` on Airflow 2.
    """

    path: Path
    bundle: Any = None


def dag_file(dag_id: str, folders: Sequence[DagFolder], session: Any) -> tuple[DagFolder, Path] | None:
    """Return which file of which folder a DAG was last read from, `None` where none of them has it.

    :param session: a session of the metadata database.
    """
    from airflow.models.dag import DagModel
    from sqlalchemy import select

    if not AIRFLOW_3:
        path = session.scalar(select(DagModel.fileloc).where(DagModel.dag_id == dag_id))
        return (folders[0], Path(path)) if path and Path(path).is_file() else None
    # A bundle may lie elsewhere where the DAG processor runs: the path within it is the same.
    columns = select(DagModel.bundle_name, DagModel.relative_fileloc).where(DagModel.dag_id == dag_id)
    bundle_name, relative = session.execute(columns).first() or (None, None)
    for folder in folders:
        if relative and folder.bundle.name == bundle_name and (folder.path / relative).is_file():
            return folder, folder.path / relative
    return None


def dag_folders() -> list[DagFolder]:
    """Return the folders that this Airflow has its DAG files in: on Airflow 3 those of all bundles."""
    if not AIRFLOW_3:
        from airflow import settings

        return [DagFolder(Path(settings.DAGS_FOLDER))]
    from airflow.dag_processing.bundles.manager import DagBundlesManager

    folders = []
    for bundle in DagBundlesManager().get_all_dag_bundles():
        bundle.initialize()
        folders.append(DagFolder(bundle.path, bundle))
    return folders


def read_dags(folder: DagFolder, file: Path | None = None) -> tuple[dict[str, Any], dict[str, str]]:
    """Read the DAGs of a folder, or those of one of its files, as they are declared.

    :return: the DAGs by id, and the errors of files that can't be imported by path.
    """
    bag: Any
    if AIRFLOW_3:
        from airflow.dag_processing.dagbag import BundleDagBag

        bag = BundleDagBag(file or folder.path, bundle_path=folder.path, bundle_name=folder.bundle.name)
    else:
        from airflow.models.dagbag import DagBag

        bag = DagBag(file or folder.path, include_examples=False, read_dags_from_db=False)
    # Airflow 3 names files by their path within the bundle.
    return bag.dags, {str(folder.path / path): error for path, error in bag.import_errors.items()}
