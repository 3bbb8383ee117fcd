"""Match chromosome names between files that spell them differently."""

from __future__ import annotations

from collections.abc import Iterable

from cisnake.errors import InputError
from cisnake.joins import explain_mismatch


def match_chromosomes(names: Iterable[str], known: Iterable[str], source: str) -> dict[str, str]:
    """Map chromosome names of a file to those of the genome.

    Names match if they are identical or differ only by a leading `chr`. Names that the genome lacks are left out of the map
    (their genes are reported as dropped). A file that shares no name with the genome is an error.

    Parameters
    ----------
    names: iterable of str
        Names in the file.
    known: iterable of str
        Names in the genome.
    source: str
        Name of the file for the error message.

    Returns
    -------
    dict of str to str
        The genome's name for each name in the file that matches.

    Raises
    ------
    InputError
        No name matches, with or without `chr`. The message shows names of both and, if it is known, what differs.

    Examples
    --------
    >>> from cisnake.data.genome import match_chromosomes
    >>> match_chromosomes(["1", "chrX", "scaffold_7"], known=["chr1", "X"], source="genes.gtf")
    {'1': 'chr1', 'chrX': 'X'}
    """
    names, known = list(dict.fromkeys(names)), list(dict.fromkeys(known))
    genome = set(known)
    toggled = {name: name.removeprefix("chr") if name.startswith("chr") else f"chr{name}" for name in names}
    matched = {name: candidate for name in names for candidate in (toggled[name], name) if candidate in genome}
    if names and not matched:
        raise InputError(
            f"no chromosome of {source} is in the genome: {explain_mismatch(source, names, 'the genome', known)}. Use the same "
            "names in both files."
        )
    return matched
