"""Networks by name."""

from pathlib import Path

import pytest
import yaml

from cisnake.errors import InputError
from cisnake.files import file_sha256
from cisnake.model import check_registered, find_card, read_registry
from cisnake.model.registry import RegisteredFile

ROOT = Path(__file__).parents[2]


def written(tmp_path, entries):
    path = tmp_path / "networks.yaml"
    path.write_text(entries if isinstance(entries, str) else yaml.safe_dump(entries))
    return path


def test_the_shipped_registry_can_be_read():
    cards = read_registry(ROOT / "config" / "networks" / "published.yaml")
    assert len({card.network.file for card in cards.values()}) == len(cards) == 12
    card = cards["borzoi/mouse/f2"]
    assert card.network.file == "borzoi/f2/model1_best.h5" and card.network.address.endswith("/borzoi/f2/model1_best.h5")
    assert card.head == "head_mouse" and card.targets.file == "borzoi/targets_mouse.txt" and card.window == 524_288
    for name, card in cards.items():
        assert card.source and card.licence and str(int(name[-1])) in card.source.split("(")[0]


def test_a_card_is_found_by_its_file(tmp_path):
    registry = written(tmp_path, {"mine": {"network": {"file": "a/b.keras"}, "trained_on": ["chr1"], "licence": "MIT"}})
    card = find_card(registry, tmp_path, tmp_path / "a" / "b.keras")
    assert card is not None and card.trained_on == ("chr1",)
    assert card.description == {"licence": "MIT", "trained_on": ["chr1"]}
    assert find_card(registry, tmp_path, tmp_path / "b.keras") is None
    assert find_card(tmp_path / "missing.yaml", tmp_path, tmp_path / "a" / "b.keras") is None


def test_files_with_another_checksum_are_refused(tmp_path):
    path = tmp_path / "a.keras"
    path.write_text("weights")
    check_registered(path, RegisteredFile("a.keras"))
    check_registered(path, RegisteredFile("a.keras", sha256=file_sha256(path)))
    with pytest.raises(InputError, match=r"has the SHA-256 \w+, not 00: download it again"):
        check_registered(path, RegisteredFile("a.keras", sha256="00"))


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (
            {"mine": {"network": {"file": "a.keras", "sha": "00"}}},
            "unknown key of network of mine in .* 'sha': did you mean sha256",
        ),
        (
            {"mine": {"network": {"file": "a.keras"}, "licens": "MIT"}},
            "unknown key of mine in .* 'licens': did you mean licence",
        ),
        ({"mine": {"network": "a.keras"}}, "network of mine in .* lacks the key file"),
        ({"mine": {"source": "me"}}, "mine in .* lacks the key network"),
        (["mine"], "must have an entry for each network"),
        ("{mine: [", "cannot be read as a registry of networks"),
    ],
)
def test_wrong_registries_are_refused(entries, message, tmp_path):
    with pytest.raises(InputError, match=message):
        read_registry(written(tmp_path, entries))
