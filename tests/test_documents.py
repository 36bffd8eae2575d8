"""What the documents say is true: their Python runs, their commands are valid, what they name exists.

The rules, for README.md, CONTRIBUTING.md and the pages of the site (docs/**/*.md):
- All ```python blocks of a document are one script, run in their order, in one process and an empty folder.
- In ```bash, ```console, ```sh and unmarked blocks the commands are the lines after `$ `; in a block that has no such
  line, all lines. Those of `rulesmith`, `make` and `python FOLDER/FILE` are checked, not run; others are not looked at.
- An HTML comment on the line above a block says otherwise: `<!-- test: slow -->`, Python that only the slow tests run;
  `<!-- test: skip REASON -->`, a block of any kind that no test looks at.
- A path in `backquotes` that begins with a folder of the repository exists; so does what a link leads to.
The site itself is built with all warnings as errors, and its notebooks are executed.
"""

import contextlib
import io
import itertools
import os
import re
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import NamedTuple

import pytest
import rulesmith.cli
from golden import assert_golden
from rulesmith import RulesmithError
from rulesmith.programs import rule_file

ROOT = Path(__file__).parents[1]
PAGES = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))
DOCUMENTS = ["README.md", "CONTRIBUTING.md", *PAGES]
NOTEBOOKS = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.ipynb"))
REPOSITORY = re.compile(r"https://github\.com/rulesmith/rulesmith/(?:blob|tree)/main/([^)#\s]*)")

BLOCK = re.compile(
    r"^(?: *<!-- test: (?P<mark>slow|skip(?= \w)).*-->\n)?"
    r" *(?P<fence>```+)(?P<language>\w*).*\n(?P<text>(?:.*\n)*?) *(?P=fence)$",
    re.M,
)


class Block(NamedTuple):
    language: str
    line: int  # of the first line of its text, from 1
    text: str
    mark: str  # "slow", "skip", or ""


def blocks(document: str) -> list[Block]:
    """Return the fenced blocks of a Markdown text, without their indentation."""
    found = BLOCK.finditer(document)
    return [
        Block(b["language"], document.count("\n", 0, b.start("text")) + 1, textwrap.dedent(b["text"]), b["mark"] or "")
        for b in found
    ]


def script(document: str, marks: tuple[str, ...]) -> str:
    """Return the Python of the blocks so marked, each line at the number that it has in the document."""
    lines = [""] * document.count("\n")
    for block in blocks(document):
        if block.language == "python" and block.mark in marks:
            text = block.text.splitlines()
            lines[block.line - 1 : block.line - 1 + len(text)] = text
    return "\n".join(lines)


def commands(document: str) -> list[tuple[int, list[str]]]:
    """Return the line and the words of each command in the blocks; `|`, `&&` and `;` divide a line into several."""
    found = []
    for block in blocks(document):
        if block.mark == "skip" or block.language not in ("", "bash", "console", "sh"):
            continue
        prompt = "$ " if re.search(r"^\$ ", block.text, re.M) else ""
        for line in re.finditer(r"(?:.*\\\n)*.+", block.text):  # with its continuations
            if line[0].startswith(prompt):
                number = block.line + block.text.count("\n", 0, line.start())
                found += [(number, words) for words in _commands(line[0].removeprefix(prompt).replace("\\\n", " "))]
    return found


def _commands(line: str) -> list[list[str]]:
    """Return the words of each command of a line, without variables set for it, redirections and comments."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    try:
        words = list(lexer)
    except ValueError:  # a quotation mark in what a program printed
        return []
    parts = [list(part) for divides, part in itertools.groupby(words, lambda w: w[:1] in tuple("|&;")) if not divides]
    plain = [itertools.takewhile(lambda w: w[:1] not in ("<", ">"), part) for part in parts]
    return [list(itertools.dropwhile(re.compile(r"\w+=").match, part)) for part in plain]


def fault(words: list[str]) -> str:
    """Return what is wrong with a command; "" if nothing is, or if it is not one that is checked."""
    match words:
        case ["rulesmith", *rest]:
            return _parsing_fault(rest)
        case ["make", *targets]:
            known = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M)
            return ", ".join(f"the Makefile has no target {t}" for t in targets if "=" not in t and t not in known)
        case ["python" | "python3", file, *_] if _in_repository(file) and not (ROOT / file).is_file():
            return f"there is no {file}"
    return ""


def _parsing_fault(words: list[str]) -> str:
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            rulesmith.cli.parse(words)
    except RulesmithError as error:
        return str(error)
    except SystemExit as end:
        return said.getvalue() or "refused" if end.code else ""
    return ""


def _in_repository(path: str) -> bool:
    """Return whether a path begins with a folder of the repository."""
    first, slash, _ = path.partition("/")
    return bool(slash and first) and (ROOT / first).is_dir() and first not in ("runs", ".venv", "..", ".")


def prose(document: str) -> str:
    """Return a Markdown text without its fenced blocks."""
    return BLOCK.sub("", document)


def anchors(document: str) -> set[str]:
    """Return the anchors that GitHub gives the headings."""
    headings = re.findall(r"^#+ +(.*)$", prose(document), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def run_script(name: str, text: str, folder: Path) -> None:
    # As in an interactive session: functions are those of __main__, which is no file. Tracebacks quote the document.
    runner = "import sys; exec(compile(sys.stdin.read(), sys.argv[1], 'exec'))"
    words = [sys.executable, "-c", runner, str(ROOT / name)]
    done = subprocess.run(words, input=text, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def with_python(mark: str) -> list[str]:
    """Return the documents that have a block of Python so marked."""
    return [
        name
        for name in DOCUMENTS
        if any(block.language == "python" and block.mark == mark for block in blocks((ROOT / name).read_text()))
    ]


@pytest.mark.parametrize("name", with_python(""))
def test_python_runs(name, tmp_path):
    run_script(name, script((ROOT / name).read_text(), ("",)), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", with_python("slow"))
def test_slow_python_runs(name, tmp_path):
    run_script(name, script((ROOT / name).read_text(), ("", "slow")), tmp_path)


def test_there_is_python_and_there_are_commands():
    assert {"README.md", "docs/tutorials/optimizer.md"} <= set(with_python(""))
    found = [words[0] for name in DOCUMENTS for _, words in commands((ROOT / name).read_text()) if words]
    assert {"rulesmith", "make"} <= set(found)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_commands_are_valid(name):
    found = commands((ROOT / name).read_text())
    faults = [(number, " ".join(words), fault(words)) for number, words in found]
    assert "\n".join(f"{name}:{number}: {text}: {wrong}" for number, text, wrong in faults if wrong) == ""


@pytest.mark.parametrize("name", DOCUMENTS)
def test_comments_for_tests_are_understood(name):
    document = (ROOT / name).read_text()
    marked = [block for block in blocks(document) if block.mark]
    assert len(re.findall(r"^ *<!-- *test\b", document, re.M)) == len(marked)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_paths_in_backquotes_exist(name):
    paths = re.findall(r"`([\w*.-]+/[\w*./-]*)`", prose((ROOT / name).read_text()))
    assert [p for p in paths if _in_repository(p) and not any(ROOT.glob(p.rstrip("/")))] == []


@pytest.mark.parametrize("name", [*DOCUMENTS, "CHANGELOG.md", "mkdocs.yml", *NOTEBOOKS])
def test_links_into_the_repository_lead_somewhere(name):
    assert [p for p in REPOSITORY.findall((ROOT / name).read_text()) if not (ROOT / p).exists()] == []


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])  # those of pages: the site's build
def test_links_lead_somewhere(name):
    text = re.sub(r"`[^`]*`", "", prose((ROOT / name).read_text()))
    targets = re.findall(r'\]\(([^)\s]+)|^\[[^\]]+\]: *(\S+)|(?:src|href)="([^"]+)"', text, re.M)
    lost = []
    for target in map("".join, targets):
        file, _, anchor = target.partition("#")
        path = (ROOT / name).parent / file if file else ROOT / name
        if re.match(r"[a-z]+:", target) or (path.exists() and not (anchor and path.suffix == ".md")):
            continue
        if not path.exists() or anchor not in anchors(path.read_text()):
            lost.append(target)
    assert lost == []


def test_the_site_is_built_without_warnings(tmp_path):
    built = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    done = subprocess.run(
        built, cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    api = (tmp_path / "reference" / "api.html").read_text()
    assert [name for name in rulesmith.__all__ if f'id="rulesmith.{name}"' not in api] == []
    cards = (tmp_path / "reference" / "cards.html").read_text()
    assert [name for name in rule_file.published() if f'id="{name}"' not in cards] == []
    every = [path.read_text() for path in tmp_path.rglob("*.html")]
    assert not any("<!-- generated" in page for page in every)
    fetched = {
        url for page in every for url in re.findall(r'<(?:script|link|img)[^>]*?(?:src|href)="(https?:[^"]*)', page)
    }
    assert fetched == set()


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs(name, tmp_path):
    import nbformat
    from nbclient import NotebookClient

    NotebookClient(nbformat.read(ROOT / name, 4), timeout=600, resources={"metadata": {"path": tmp_path}}).execute()


@pytest.mark.parametrize("words", [(), ("discover",), ("discover", "symbolic"), ("compare",)], ids=" ".join)
def test_help_is_golden(words):
    command = [str(Path(sys.executable).parent / "rulesmith"), *words, "--help"]
    env = os.environ | {"COLUMNS": "80", "NO_COLOR": "1"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert_golden(f"help-{'-'.join(words) or 'rulesmith'}.txt", done.stdout)


SAMPLE = """# A sample: of it
```python
a = 1
```
- in a list
  ```python
  if a:
      b = a
  ```
<!-- test: slow -->
```python
c = b
```
<!-- test: skip it is a sketch -->
```python
...
```
```
$ X=1 rulesmith show 'a b' --json > out | python benchmarks/none.py && make \\
  test  # a comment
rulesmith is not a command here
```
```bash
rulesmith rules; make nothing
it's no command
```
```toml
rulesmith = 1
```
"""


def test_blocks_of_a_sample():
    assert [(b.language, b.line, b.mark) for b in blocks(SAMPLE)] == [
        ("python", 3, ""),
        ("python", 7, ""),
        ("python", 12, "slow"),
        ("python", 16, "skip"),
        ("", 19, ""),
        ("bash", 24, ""),
        ("toml", 28, ""),
    ]
    assert script(SAMPLE, ("",)).strip("\n") == "a = 1\n\n\n\nif a:\n    b = a"
    assert script(SAMPLE, ("", "slow")).splitlines()[11] == "c = b"
    assert prose(SAMPLE) == "# A sample: of it\n\n- in a list\n" + "\n" * 6
    assert anchors(SAMPLE) == {"a-sample-of-it"}


def test_commands_of_a_sample():
    assert commands(SAMPLE) == [
        (19, ["rulesmith", "show", "a b", "--json"]),
        (19, ["python", "benchmarks/none.py"]),
        (19, ["make", "test"]),
        (24, ["rulesmith", "rules"]),
        (24, ["make", "nothing"]),
    ]
    assert fault(["make", "test"]) == ""
    assert fault(["make", "nothing"]) == "the Makefile has no target nothing"
    assert fault(["python", "benchmarks/none.py"]) == "there is no benchmarks/none.py"
    assert fault(["python", "benchmarks/run.py"]) == fault(["python", "mine.py"]) == fault(["ls"]) == ""


def test_a_command_line_that_is_not_valid_is_a_fault():
    assert fault(["rulesmith", "rules"]) == ""
    assert fault(["rulesmith", "show", "lion", "--jsno"]) != ""
    assert fault(["rulesmith", "shwo"]) != ""
