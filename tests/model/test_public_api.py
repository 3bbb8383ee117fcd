"""Only public interfaces of Keras and TensorFlow may be used: private ones change without notice."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PRIVATE = re.compile(
    r"tensorflow\.python|keras\.src|tensorflow\.keras\.src|from\s+(tensorflow|keras)\s+import\s+(.*\b)?(python|src)\b"
)


def private_uses(text):
    return [number for number, line in enumerate(text.splitlines(), start=1) if PRIVATE.search(line)]


def test_no_private_module_is_imported():
    sources = [path for folder in ("scripts", "tools") for path in (ROOT / folder).rglob("*.py")]
    assert len(sources) > 50
    found = [f"{path.relative_to(ROOT)}:{line}" for path in sources for line in private_uses(path.read_text())]
    assert not found


@pytest.mark.parametrize(
    ("line", "private"),
    [
        ("from tensorflow.python.keras import backend", True),
        ("import keras.src.ops as ops", True),
        ("from keras import src", True),
        ("from tensorflow import nn, python", True),
        ("from keras import ops", False),
        ("import tensorflow as tf  # python", False),
    ],
)
def test_private_modules_are_detected(line, private):
    assert bool(private_uses(line)) == private
