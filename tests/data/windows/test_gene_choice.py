import pandas as pd
import pytest

from cisnake.data.windows.gene_choice import choose_genes
from cisnake.errors import InputError


def test_choice_of_genes(tmp_path):
    windows = pd.DataFrame({"gene_id": ["g1", "NA", "g3", "g4"], "split": ["train", "test", "val", "test"]})
    assert list(choose_genes(windows, "all")) == [0, 1, 2, 3]
    assert list(choose_genes(windows, "held_out")) == [1, 3]
    (tmp_path / "genes.txt").write_text("g4\n\n  NA \ng1\ng4\n")
    assert list(choose_genes(windows, str(tmp_path / "genes.txt"))) == [0, 1, 3]
    (tmp_path / "genes.txt").write_text("g4\ng33\n")
    with pytest.raises(InputError, match=r"unknown gene in .*'g33': did you mean g3"):
        choose_genes(windows, str(tmp_path / "genes.txt"))
    (tmp_path / "genes.txt").write_text("\n")
    with pytest.raises(InputError, match="contains no gene ids"):
        choose_genes(windows, str(tmp_path / "genes.txt"))
    with pytest.raises(InputError, match="it must be all, held_out, or a file"):
        choose_genes(windows, "heldout")
