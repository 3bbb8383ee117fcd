# Where the repository lies: its programs and its library are run from files.
import os
from pathlib import Path
import shutil
import tarfile
import tempfile


def unpack(source):
    """Folder with the files of a repository that Snakemake has as a bare clone, made once for each commit."""
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
            # Another process may have been faster.
            if not folder.exists():
                os.replace(part / "files", folder)
        finally:
            shutil.rmtree(part)
    return folder


# A module may be given as github(...), of which there are no files.
HERE = workflow.current_basedir
CHECKOUT = Path(HERE).parents[1] if isinstance(HERE, os.PathLike) else unpack(HERE)
