"""Write config/README.md from the schema of the configuration and the code of the network's blocks: nothing is described twice.

The code of blocks is read, not imported: that would start TensorFlow.
"""

from __future__ import annotations

import ast
import inspect
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeGuard

import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from cisnake.model import TRAIN_SETTINGS, TRANSFER_SETTINGS, ParamSetting  # noqa: E402

SCHEMA = ROOT / "workflow" / "schemas" / "config.schema.yaml"
MODEL = ROOT / "scripts" / "cisnake" / "model" / "network"
README = ROOT / "config" / "README.md"

INTRODUCTION = """\
<!-- Written by `make docs` from workflow/schemas/config.schema.yaml and scripts/cisnake/model: change those, not this file. -->

# Configuration

A run has one YAML file. Copy `config/template.yaml` to `config/mine.yaml`, point it at your files, and start it:

```
snakemake --configfile config/mine.yaml --cores 8
```

`config/demo.yaml` (a simulated genome) and `config/yeast.yaml` (real data) are whole examples. What a file leaves out takes the
default given here; nothing is taken from another run's file. Keys that are unknown, values that cannot be, files that are not
there, and names of chromosomes and tasks that the files do not have are all reported together before any job starts.

- Files are named from `run.data_dir`, or from the folder where Snakemake is started; `$NAME` and `~` are replaced. Each may be
  given as `{url: ..., sha256: ...}` instead, and is then fetched once and checked.
- `model.params` is named from the folder where Snakemake is started, else from the workflow's own, so that
  `config/models/demo.yaml` works from anywhere.
- Single keys can be set for one run: `snakemake --configfile config/mine.yaml --config 'peaks={threshold: 0.02}'`.
- Coordinates and lengths are in base pairs. Keys marked * must be given.
"""

PARAMETERS = """\
## Parameter files

`model.params` names a file with the sections `model` (the network), `train` (how it is trained) and, if wanted, `transfer`
(what it starts from); those in `config/models` are examples, and `docs/training.md` explains them. A file may be YAML or JSON;
a params.json of Basenji or Baskerville works as it is. `model.overrides` changes single keys of it by dotted name, such as
`train.learning_rate` or `model.trunk.0.filters`. What a model was trained with is saved beside it as params.yaml.

### model

`trunk` is a list of blocks, each a mapping with its `name` and its arguments. `head` is such a list, or one block; any further
key that begins with `head` is another head on the same trunk. `seq_length` is the number of bases of a window and may be left
out; `seq_depth` is 4 (bases, the default) or 5 (bases, and where the gene body is). `units` of the block `final` is the number
of tasks and may be left out. While training, `augment_rc: true` shows each window reverse-complemented with probability 1/2 and
turns the predictions back (`strand_pair`: a list with one entry a head, null or for each task the task of the other strand),
and `augment_shift` shifts each window by up to that many bases.

The trunk ends with the model's `activation`. Blocks share the following settings, and any of them may be set for one block
alone; {plain} heed none.
"""


def main() -> None:
    README.write_text(page(), encoding="utf-8")
    print(README.relative_to(ROOT))


def page() -> str:
    """Return the text of config/README.md."""
    schema = yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))
    parts = [INTRODUCTION]
    for name, section in schema["properties"].items():
        star = "*" if name in schema["required"] else ""
        parts.append(f"## {name}{star}\n\n{sentence(section['description'])}\n")
        parts.append(table(["key", "value", "default", "meaning"], rows(section, schema["$defs"])))
    plain = ", ".join(f"`{name}`" for name in sorted(ast.literal_eval(assigned("blocks", "PLAIN"))))
    layers = ", ".join(f"`{node.attr}`" for node in ast.walk(assigned("blocks", "KERAS_LAYERS")) if is_layer(node))
    parts += [PARAMETERS.format(plain=plain), shared_keys(), "### Blocks\n", blocks()]
    parts += [
        f"Layers of Keras may stand among them under their own names, with their own arguments: {layers}, `SoftmaxPool1D`.\n"
    ]
    parts += ["### train\n", setting_table(TRAIN_SETTINGS), "### transfer\n", setting_table(TRANSFER_SETTINGS)]
    return "\n".join(parts)


def rows(section: dict[str, Any], definitions: dict[str, Any], prefix: str = "") -> Iterator[list[str]]:
    """Yield a row for each key of a section, then the keys inside it, by dotted name."""
    for key, part in section.get("properties", {}).items():
        name = prefix + key
        inner = next((p for p in (part, part.get("items"), part.get("additionalProperties")) if has_keys(p)), None)
        star = "*" if key in section.get("required", ()) else ""
        shown = "" if "default" not in part or has_keys(part) else f"`{json.dumps(part['default'], ensure_ascii=False)}`"
        if inner is not None and inner is not part and "default" in part:
            shown = "<br>".join(f"`{json.dumps(item, ensure_ascii=False)}`" for item in part["default"])
        yield [f"`{name}`{star}", kind(part, definitions), shown, sentence(part["description"])]
        if inner is not None:
            ending = "[]." if part["type"] == "array" else "." if inner is part else ".<name>."
            yield from rows(inner, definitions, name + ending)


def has_keys(part: Any) -> bool:
    """Whether a part of the schema is a mapping with keys of its own."""
    return isinstance(part, dict) and "properties" in part


def kind(part: dict[str, Any], definitions: dict[str, Any]) -> str:
    """Return in words what a value may be: its type and range."""
    reference = part.get("$ref", "").rsplit("/", 1)[-1]
    if reference == "source":
        return "path, or url and sha256"
    part = definitions.get(reference, {}) | part
    if "enum" in part:
        return " or ".join(f"`{value}`" for value in part["enum"])
    if isinstance(part["type"], list):
        return " or ".join(kind(part | {"type": one}, definitions) for one in part["type"])
    if part["type"] == "array":
        return f"list of {'mappings' if has_keys(part['items']) else kind(part['items'], definitions)}"
    word = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false", "object": "mapping"}
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = [f"{sign} {part[limit]}" for limit, sign in signs.items() if limit in part]
    return ", ".join([word[part["type"]], *limits])


def sentence(text: str) -> str:
    """Return a description on one line that stands in a table."""
    return " ".join(text.split()).replace("|", "\\|")


def table(header: list[str], lines: Iterator[list[str]] | list[list[str]]) -> str:
    """Return a Markdown table."""
    cells = [header, ["---"] * len(header), *lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in cells) + "\n"


def tree(module: str) -> ast.Module:
    return ast.parse((MODEL / f"{module}.py").read_text(encoding="utf-8"))


def shared_keys() -> str:
    """Return a table of what the blocks of a model share: the fields of `context.Defaults`."""
    fields = next(node for node in tree("context").body if isinstance(node, ast.ClassDef) and node.name == "Defaults").body
    return table(
        ["key", "default"],
        [
            [f"`{ast.unparse(f.target)}`", f"`{value(f.value)}`"]
            for f in fields
            if isinstance(f, ast.AnnAssign) and f.value is not None
        ],
    )


def assigned(module: str, name: str) -> ast.expr:
    """Return what a module assigns to a name."""
    for node in tree(module).body:
        if isinstance(node, ast.AnnAssign) and node.value is not None and ast.unparse(node.target) == name:
            return node.value
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return node.value
    raise KeyError(f"{module}.py does not assign {name}")


def is_layer(node: ast.AST) -> TypeGuard[ast.Attribute]:
    """Whether a piece of code is a layer of Keras."""
    return isinstance(node, ast.Attribute) and ast.unparse(node.value) == "layers" and node.attr != "Layer"


def blocks() -> str:
    """Return a list of the blocks with their arguments: the functions that `blocks.BLOCKS` and `blocks.INNER` name."""
    modules = [tree(name) for name in ("blocks", "convolution_blocks", "attention_blocks")]
    functions = {node.name: node for module in modules for node in module.body if isinstance(node, ast.FunctionDef)}
    named = [node.id for node in ast.walk(assigned("blocks", "BLOCKS")) if isinstance(node, ast.Name) and node.id in functions]
    table = assigned("blocks", "INNER")
    pairs = zip(table.keys, table.values, strict=True) if isinstance(table, ast.Dict) else []
    inner = {
        ast.literal_eval(key): f" Further arguments are those of `{ast.unparse(v)}`." for key, v in pairs if key is not None
    }
    lines = {}
    for name in named:
        about = first_line(functions[name])
        more = "" if "arguments" in about else inner.get(name, "")
        lines[name] = f"- `{name}`{arguments(functions[name])}: {about}{more}\n"
    return "".join(lines.values())


def arguments(function: ast.FunctionDef) -> str:
    """Return the arguments of a block, without the tensor and the shared defaults that come first."""
    own = function.args.args[2:]
    defaults = [None] * (len(own) - len(function.args.defaults)) + list(function.args.defaults)
    words = [f"`{a.arg}`" + ("" if d is None else f" = {value(d)}") for a, d in zip(own, defaults[-len(own) :], strict=True)]
    return f" ({', '.join(words)})" if words else ""


def first_line(function: ast.FunctionDef) -> str:
    """Return the first paragraph of a docstring on one line."""
    return " ".join(inspect.cleandoc(ast.get_docstring(function) or "").split("\n\n")[0].split())


def setting_table(settings: dict[str, ParamSetting]) -> str:
    """Return a table of the keys of a section of a parameter file."""
    lines = [[f"`{key}`", f"`{json.dumps(s.default)}`", s.about] for key, s in settings.items()]
    return table(["key", "default", "meaning"], lines)


def value(node: ast.expr | None) -> str:
    """Return a default as YAML writes it."""
    return json.dumps(ast.literal_eval(node), ensure_ascii=False) if node is not None else ""


if __name__ == "__main__":
    main()
