# Location of the repository: the programs and the library are run from its files.
import os
from pathlib import Path
import shutil
import tarfile
import tempfile


def unpack(source):
    """Return a folder with the files of a repository that Snakemake keeps as a bare clone; unpacked once per commit."""
    repository, clone = source.hosted_repo.repo, source.hosted_repo.repo_clone
    commit = repository.git.rev_parse(f"{source.ref}^{{commit}}")
    folder = clone.with_name(f"{clone.name}-{commit}")
    if not folder.exists():
        part = Path(tempfile.mkdtemp(prefix=".part-", dir=clone.parent))
        try:
            with open(part / "files.tar", "w+b") as archive:
                repository.archive(archive, treeish=commit)
                archive.seek(0)
                with tarfile.open(fileobj=archive) as files:
                    files.extractall(part / "files", filter="data")
            # Another process may have unpacked it in the meantime.
            if not folder.exists():
                os.replace(part / "files", folder)
        finally:
            shutil.rmtree(part)
    return folder


# A module given as github(...) has no files on disk until it is unpacked.
HERE = workflow.current_basedir
CHECKOUT = Path(HERE).parents[1] if isinstance(HERE, os.PathLike) else unpack(HERE)
