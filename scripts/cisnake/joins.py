"""Explain why names of two files do not match."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Collection, Iterable, Mapping

_EXAMPLES = 3
_QUOTES = " \t\r\n\"'`"
_PREFIX = re.compile(r"^(?:(?:gene|transcript|cds)[:-]|rna-)", flags=re.IGNORECASE)
_CHR = re.compile(r"^chr", flags=re.IGNORECASE)
_VERSION = re.compile(r"\.\d+$")
_BARCODE = re.compile(r"-\d+$")

# Ways in which files spell the same name differently, each with a function that removes the difference.
_DIFFERENCES: dict[str, Callable[[str], str]] = {
    "blanks or quotation marks": lambda name: name.strip(_QUOTES),
    "upper and lower case": str.casefold,
    "the version suffix": lambda name: _VERSION.sub("", name),
    "a prefix such as gene: or transcript:": lambda name: _PREFIX.sub("", name),
    "the prefix chr": lambda name: _CHR.sub("", name),
    "a numeric suffix such as -1": lambda name: _BARCODE.sub("", name),
}


def explain_mismatch(
    first: str,
    first_names: Iterable[str],
    second: str,
    second_names: Iterable[str],
    causes: Mapping[str, tuple[Iterable[str], Iterable[str]]] | None = None,
) -> str:
    """Say how the names of two files differ: examples without a match from either side, and the difference if it is known.

    Parameters
    ----------
    first, second: str
        The files or tables, as subjects of a sentence: "the matrix".
    first_names, second_names: iterable of str
        Their names. Names that match are not shown.
    causes: mapping of str to (iterable of str, iterable of str), optional
        Sentences about other causes, each with the two sets of names that share at least one name if the sentence is true. For
        example, the tasks of a matrix and the gene ids, for a transposed matrix.

    Returns
    -------
    str
        One to three sentences, without a full stop at the end.

    Examples
    --------
    >>> from cisnake.joins import explain_mismatch
    >>> explain_mismatch("the matrix", ["tp53", "myc"], "the annotation", ["TP53", "MYC", "FOS"])
    'the matrix has tp53, myc; the annotation has TP53, MYC, FOS. They differ in upper and lower case (tp53, TP53)'
    """
    first_set, second_set = dict.fromkeys(first_names), dict.fromkeys(second_names)
    ours = [name for name in first_set if name not in second_set]
    theirs = [name for name in second_set if name not in first_set]
    sentences = [f"{first} has {_examples(ours)}; {second} has {_examples(theirs)}"]
    sentences += [sentence for sentence, (left, right) in (causes or {}).items() if not set(left).isdisjoint(right)]
    if len(sentences) == 1 and (difference := _difference(ours, theirs)):
        sentences.append(difference)
    return ". ".join(sentences)


def alike(name: str, known: Iterable[str]) -> list[str]:
    """Return the known names that are equal to a name apart from case, version, prefix, blanks and quotation marks.

    Examples
    --------
    >>> from cisnake.joins import alike
    >>> alike("2", ["chr1", "chr2", "chr22"])
    ['chr2']
    """
    plain = _plain(name)
    return [other for other in known if _plain(other) == plain]


def _plain(name: str) -> str:
    for change in _DIFFERENCES.values():
        name = change(name)
    return name


def _examples(names: Collection[str]) -> str:
    shown = [name if name == name.strip(_QUOTES) and name else repr(name) for name in itertools.islice(names, _EXAMPLES)]
    more = len(names) - len(shown)
    return (", ".join(shown) or "no others") + (f" and {more} more" if more else "")


def _difference(ours: list[str], theirs: list[str]) -> str:
    """Return a sentence about the fewest differences without which a name matches, at most two; "" if there are none."""
    for n in (1, 2):
        for words in itertools.combinations(_DIFFERENCES, n):
            known = dict(zip(map(_without(words), reversed(theirs)), reversed(theirs), strict=True))
            changed = _without(words)
            pair = next(((name, known[plain]) for name in ours if (plain := changed(name)) and plain in known), None)
            if pair is not None:
                shown = ", ".join(name if name == name.strip(_QUOTES) else repr(name) for name in pair)
                return f"They differ in {' and '.join(words)} ({shown})"
    return ""


def _without(words: tuple[str, ...]) -> Callable[[str], str]:
    def change(name: str) -> str:
        for word in words:
            name = _DIFFERENCES[word](name)
        return name

    return change
