"""Names of chromosomes, which files spell in different ways."""

from __future__ import annotations

from collections.abc import Iterable

from cisnake.errors import InputError


def match_chromosomes(names: Iterable[str], known: Iterable[str], source: str) -> dict[str, str]:
    """Map chromosome names of a file to those of the genome.

    A name is the same in both, or differs by a leading `chr`. Names that the genome lacks are left out of the map (their
    genes are reported as dropped), but a file that shares no name with the genome is an error.

    Parameters
    ----------
    names: iterable of str
        Names in the file.
    known: iterable of str
        Names in the genome.
    source: str
        The file, as it should read in the message.

    Returns
    -------
    dict of str to str
        Names of the genome by names of the file; only those that match.

    Raises
    ------
    InputError
        No name matches, with or without `chr`; the message shows both lists.

    Examples
    --------
    >>> from cisnake.data.genome import match_chromosomes
    >>> match_chromosomes(["1", "chrX", "scaffold_7"], known=["chr1", "X"], source="genes.gtf")
    {'1': 'chr1', 'chrX': 'X'}
    """
    names, known = list(dict.fromkeys(names)), list(dict.fromkeys(known))
    genome = set(known)
    toggled = {name: name.removeprefix("chr") if name.startswith("chr") else f"chr{name}" for name in names}
    matched = {name: near for name in names for near in (toggled[name], name) if near in genome}
    if names and not matched:
        raise InputError(
            f"no chromosome of {source} is in the genome: {source} has {_some(names)}; the genome has {_some(known)}. "
            "Use one naming in both files."
        )
    return matched


def _some(names: list[str], n: int = 20) -> str:
    return ", ".join(names[:n]) + (f" and {len(names) - n} more" if len(names) > n else "")
