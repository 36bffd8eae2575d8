"""What the site has that no one writes: mkdocs calls this file while it builds (`hooks` in mkdocs.yml).

A line `<!-- generated: NAME -->` of a page is replaced by what the function of that name in `GENERATED` returns. A
notebook becomes a page beside it, its outputs as they are in the file.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files
from rulesmith.programs import rule_file
from rulesmith.programs.mathematics.mathml import mathml
from rulesmith.programs.objective import Objective
from rulesmith.programs.rule import Rule
from rulesmith.programs.vocabulary import vocabulary_table
from rulesmith.results.cards import EARLIER, EVIDENCE
from rulesmith.results.layout import fact_words
from rulesmith.results.statistics import Estimate

ROOT = Path(__file__).parents[1]
SOURCE = tempfile.TemporaryDirectory()
"""Holds links to the package's files under its name, which need not be that of the checkout's folder."""

PICTURES = {"assets/groove-levels.png": EVIDENCE.with_name("groove-levels.png")}
"""Pictures of the site that lie elsewhere in the repository."""

PLACE = re.compile(r"^<!-- generated: (\S+) -->$", re.M)


def table(rows: list[list[str]]) -> str:
    """Return a Markdown table; the first row is its head."""
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "|---" * len(rows[0]) + "|", *lines[1:]])


def optimizers(evidence: Path) -> str:
    """Return what a comparison says of optimizers: losses relative to AdamW's, best first."""
    found = json.loads(evidence.read_text(encoding="utf-8"))["rules"]
    words = lambda estimate: str(Estimate(**estimate)).replace(", ", ",\u00a0") if estimate else ""  # noqa: E731
    rows = {name: own for name, own in found.items() if name != "adamw"}
    sizes = list(dict.fromkeys(size for own in rows.values() for size in own["by_scale"]))
    head = [
        "",
        "all tasks",
        *(size if "weights" in size else f"{size} weights" for size in sizes),
        "against the best of AdamW, NAdamW, Muon",
    ]
    body = [
        [
            f"[{name}](reference/cards.md#{name})",
            words(own["interquartile_mean"]),
            *(words(own["by_scale"].get(size)) for size in sizes),
            words(own.get("against_best_baseline")),
        ]
        for name, own in sorted(rows.items(), key=lambda row: row[1]["interquartile_mean"]["value"])
    ]
    return table([head, *body])


def optimizer_cards() -> str:
    """Return the cards of all published optimizers."""
    return "\n\n".join(_card(rule_file.find_optimizer(name)) for name in rule_file.published())


def objective_cards() -> str:
    """Return the cards of all published objectives."""
    return "\n\n".join(_card(rule_file.find_objective(name)) for name in rule_file.published_objectives())


def _card(rule: Rule | Objective) -> str:
    if isinstance(rule, Rule):
        programs = dict(rule.programs)
    else:
        programs = {} if rule.program is None else {"all": rule.program}
    parts = [f"### {rule.name}", f"{rule.description}." if rule.description else ""]
    for label, program in programs.items():
        parts += [f"For {label} leaves:"] * (label != "all") + [f"```python\n{program.to_text().strip()}\n```"]
    if programs:
        drawn = f'<div class="equations">{mathml(rule.to_latex())}</div>'
        parts.append(f"<details><summary>in equations</summary>{drawn}</details>")
    if isinstance(rule, Rule) and rule.learning_rate:
        parts.append("Learning rates to try: {:g} to {:g}.".format(*rule.learning_rate))
    facts = [
        [str(key), fact_words(value, key) if "learning rate" in key else _plain(value)]
        for part in (rule.provenance, rule.evidence)
        for key, value in part.items()
    ]
    return "\n\n".join([part for part in parts if part] + [table([["fact", ""], *facts])] * bool(facts))


def _plain(value: Any) -> str:
    """Return a fact's value in a line."""
    if isinstance(value, Mapping):
        return "; ".join(f"{name}: {_plain(each)}" for name, each in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


GENERATED = {
    "vocabulary": vocabulary_table,
    "optimizers": partial(optimizers, EVIDENCE),
    "optimizers-without-warm-up": partial(optimizers, EARLIER),
    "optimizer-cards": optimizer_cards,
    "objective-cards": objective_cards,
}


def notebook_page(path: Path) -> str:
    """Return a notebook as Markdown."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    where = f"https://github.com/rulesmith/rulesmith/blob/main/docs/tutorials/{path.name}"
    title, *rest = [part for cell in cells for part in _cell(cell)]
    return "\n\n".join([title, f"This page is a notebook: [{path.name}]({where}).", *rest])


def _cell(cell: Mapping[str, Any]) -> list[str]:
    text = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        return [text.replace(".ipynb)", ".md)")]
    shown = []
    for output in cell["outputs"]:
        data = output.get("data", {})
        if "text/html" in data:
            shown.append(f'<div class="output">\n{"".join(data["text/html"])}\n</div>')
        elif "image/png" in data:
            shown.append(f"![what the cell draws](data:image/png;base64,{''.join(data['image/png']).strip()})")
        elif said := "".join(output.get("text", data.get("text/plain", ""))).strip():
            shown.append(f'<div class="output" markdown>\n\n```text\n{said}\n```\n\n</div>')
    return [f"```python\n{text}\n```", *shown]


def on_startup(**_: Any) -> None:
    """Let mkdocstrings find the package, which an editable install hides from it (called by mkdocs)."""
    package = Path(SOURCE.name) / "rulesmith"
    package.mkdir()
    for path in ROOT.iterdir():
        if path.suffix == ".py" or (path / "__init__.py").exists():
            (package / path.name).symlink_to(path)
    sys.path.insert(0, SOURCE.name)


def on_files(files: Files, *, config: Any) -> Files:
    """Add a page for each notebook, and the pictures that lie elsewhere (called by mkdocs)."""
    for place, path in PICTURES.items():
        files.append(File.generated(config, place, abs_src_path=str(path)))
    for file in list(files):
        if file.src_uri.endswith(".ipynb"):
            files.remove(file)
            page = notebook_page(Path(file.abs_src_path or ""))
            files.append(File.generated(config, file.src_uri.removesuffix(".ipynb") + ".md", content=page))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Fill in what is generated (called by mkdocs)."""
    return PLACE.sub(lambda place: GENERATED[place[1]](), markdown)
