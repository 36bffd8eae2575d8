"""Runs whose files are cut, flipped or swapped: every command reads them right or says so in a line.

Other runs in the same folder stay as they are, and are listed. No value is read that is another than what was written.
A whole store of another run is that run, wherever it lies.
"""

import hashlib
import random
import re
import shutil
import sqlite3
import traceback
from collections import Counter
from pathlib import Path

import pytest
from in_process import command
from rulesmith.search.store import FILE
from small_runs import everything, finish, start

pytestmark = pytest.mark.slow

DAMAGES, EACH = 150, 10
"""How often each run is damaged at random; of so many runs one is reported and resumed too, which takes longest."""
RESUMED = {
    "symbolic": ("discover", "symbolic", "--programs", "400"),
    "objective": ("discover", "objective", "--generations", "60"),
    "curriculum": ("discover", "curriculum", "--steps", "60"),
    "refinement": ("refine",),
}
"""How a run is resumed that has nothing left to do."""
MARK = re.compile(r"\w{8}(-\w{4}){3}-\w{12}")
"""What Plotly calls a figure: at random."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with a run of each method, called as the method."""
    folder = tmp_path_factory.mktemp("runs")
    for method in RESUMED:
        finish(method, folder / method, folder / "symbolic" if method == "refinement" else None)
    for log in folder.glob("*.log"):
        log.unlink()
    return folder


def flipped(data, rng, first=0):
    """Return bytes with some bits flipped, from one place on."""
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 8))):
        data[rng.randrange(first, len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def damage(data, rng):
    """Return the name of a damage and the bytes of a store after it."""
    match rng.randrange(8):
        case 0:
            return "cut", data[: rng.randrange(len(data))]
        case 1:
            return "flip in the header", flipped(data[:100], rng) + data[100:]
        case 2:  # the first bytes of a page, which say what it holds
            page = 4096 * rng.randrange(len(data) // 4096)
            return "flip in a page's header", data[:page] + flipped(data[page : page + 12], rng) + data[page + 12 :]
        case 3:
            at, size = rng.randrange(len(data)), rng.choice((1, 50, 4096))
            return "zeros", (data[:at] + bytes(size) + data[at + size :])[: len(data)]
        case 4:
            pages = [data[at : at + 4096] for at in range(0, len(data), 4096)]
            a, b = rng.randrange(len(pages)), rng.randrange(len(pages))
            pages[a], pages[b] = pages[b], pages[a]
            return "pages swapped", b"".join(pages)
        case _:
            return "flip", flipped(data, rng)


def marks(folder):
    """Return a hash of each file under a folder."""
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


class Folder:
    """A folder of runs, one of which is damaged again and again; counts what became of the readings."""

    def __init__(self, runs: Path, folder: Path, name: str) -> None:
        self.runs, self.folder, self.name = runs, folder / "runs", name
        shutil.copytree(runs, self.folder)
        self.run = self.folder / name
        self.counts, self.faults = Counter(), Counter()
        self.others = self.marks_of_others()
        self.out = folder
        self.wanted = self.read_in_its_place(name)

    def readings(self, wholly):
        """Return the commands that read the run; wholly: those that take long, too."""
        quick = [("show", self.run), ("show", self.run, "--json"), ("export", self.run, "-o", self.out / "rule.toml")]
        slow = [("export", self.run, "-o", self.out / "rule.py"), ("report", self.run, "-o", self.out / "report.html")]
        return quick + slow if wholly else quick

    def said(self, *words):
        """Run a command, and return its status and all that it has written; what it should not do is a fault."""
        try:
            status, out, errors = command(*words)
        except Exception as error:
            frame = [each for each in traceback.extract_tb(error.__traceback__) if ".venv" not in each.filename][-1]
            where = f"{Path(frame.filename).name}:{frame.lineno}"
            self.faults[f"{words[0]}: {type(error).__name__} in {where}: {error!s:.20}"] += 1
            return None, ("", [])
        lines = errors.splitlines()
        if status not in (0, 2) or len(lines) != (status == 2) or (lines and not lines[0].startswith("rulesmith: ")):
            first = "".join(lines[:1]).replace(f"{self.run}", "")
            self.faults[f"{words[0]}: status {status}, {len(lines)} lines: {first:.60}"] += 1
            return None, (out, [])
        files = [MARK.sub("", word.read_text()) for word in words[1:] if isinstance(word, Path) and word.is_file()]
        return status, (out, files if status == 0 else [])

    def read_in_its_place(self, name):
        """Return what is said of an undamaged run that lies where the damaged ones do, by command."""
        shutil.rmtree(self.run)
        shutil.copytree(self.runs / name, self.run)
        found = {words: self.said(*words)[1] for words in self.readings(wholly=True)}
        assert not self.faults, self.faults
        self.restore()
        return found

    def marks_of_others(self):
        """Return the hashes of the other runs' files; a refinement keeps what it found with the run that it refined."""
        changed = (self.run, self.folder / "symbolic") if self.name == "refinement" else (self.run,)
        return {path: mark for path, mark in marks(self.folder).items() if not {*changed} & {*path.parents}}

    def restore(self):
        """Put the run back as it was."""
        shutil.rmtree(self.run)
        shutil.copytree(self.runs / self.name, self.run)

    def check(self, what, wholly=True, wanted=None):
        """Read the damaged run, and wholly: go on with it; count by damage what came of it, and put it back.

        Args:
            what: the damage.
            wholly: with the commands that take long, too.
            wanted: what is said of the run that was put in this one's place, if any was.
        """
        wanted = wanted or self.wanted
        kinds = []
        for words in self.readings(wholly):
            status, found = self.said(*words)
            kinds.append({None: "fault", 2: "told"}.get(status, "right" if found == wanted[words] else "other"))
        _, (out, _) = self.said("runs", self.folder)
        missing = [name for name in RESUMED if str(self.folder / name) not in out]
        if missing:
            self.faults[f"runs: {', '.join(missing)} are not listed"] += 1
        if wholly:
            self.said(*RESUMED[self.name], "--resume", "--out", self.run)
        assert self.marks_of_others() == self.others, what
        self.counts[next(kind for kind in ("fault", "other", "told", "right") if kind in kinds)] += 1
        self.restore()

    def check_faults(self):
        """Fail if anything was read wrong or was not told in a line."""
        assert not self.faults, "\n".join(f"{count} x {fault}" for fault, count in self.faults.items())
        assert not self.counts["other"]

    def told(self):
        """Return the figures in words."""
        by = self.counts
        return (
            f"{by.total()} damages of a run of {self.name}: {by['told']} told in a line, {by['right']} read right, "
            f"{by['other']} read with another value, {by['fault']} not told in a line"
        )


@pytest.mark.parametrize("name", RESUMED)
def test_damaged_stores_are_read_right_or_told_in_a_line(name, runs, tmp_path, figures):
    folder, rng = Folder(runs, tmp_path, name), random.Random(name)
    data = (runs / name / FILE).read_bytes()
    for number in range(DAMAGES):
        what, damaged = damage(data, rng)
        (folder.run / FILE).write_bytes(damaged)
        folder.check(what, wholly=number % EACH == 0)
    figures(folder.told())
    folder.check_faults()


def swaps(runs, name):
    """Yield (what, file in the run, bytes) of what takes the place of a run's own files; a run's store has its name."""
    foreign = runs.parent / "foreign.sqlite"
    foreign.unlink(missing_ok=True)
    connection = sqlite3.connect(foreign)
    connection.execute("CREATE TABLE facts (name, value)")
    connection.close()
    others = {other: (runs / other / FILE).read_bytes() for other in RESUMED if other != name}
    files = {"an empty file": b"", "text": b"def update(g, lr):\n    return lr * g\n", "zeros": bytes(8192)}
    files |= {"another database": foreign.read_bytes(), **others}
    for what, data in files.items():
        yield what, FILE, data
        yield f"{what} as the log", f"{FILE}-wal", data
    last = max((runs / name).glob("checkpoints/*"), default=None)
    for path in sorted(last.rglob("*")) if last else ():
        if path.is_file():
            data, file = path.read_bytes(), path.relative_to(runs / name)
            yield "a checkpoint's file, cut", file, data[: len(data) // 2]
            yield "a checkpoint's file, flipped", file, flipped(data or b"x", random.Random(0))


@pytest.mark.parametrize("name", RESUMED)
def test_swapped_files_are_told_in_a_line(name, runs, tmp_path, figures):
    folder = Folder(runs, tmp_path, name)
    for what, file, data in swaps(runs, name):
        wanted = folder.read_in_its_place(what) if what in RESUMED else None
        (folder.run / file).write_bytes(data)
        folder.check(what, wanted=wanted)
    for path in [folder.run / FILE, *sorted(folder.run.glob("checkpoints/*"))[-1:]]:  # missing, or of another kind
        for kind in ("missing", "folder"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
            if kind == "folder":
                path.mkdir()
            if path.name != FILE:
                folder.check(f"a checkpoint that is {kind}")
            else:
                assert command("show", folder.run).status == 2
                folder.restore()
    figures(folder.told())
    folder.check_faults()


def test_a_damaged_log_of_a_killed_run_costs_its_last_steps_at_most(runs, tmp_path, figures):
    process = start("symbolic", tmp_path / "killed")
    while process.is_alive() and not _size(tmp_path / "killed" / f"{FILE}-wal") > 400_000:
        process.join(0.01)
    process.kill()
    process.join()
    log = (tmp_path / "killed" / f"{FILE}-wal").read_bytes()
    rng, kept = random.Random(1), Counter()
    for i in range(100):
        cut = tmp_path / f"cut-{i}"
        shutil.copytree(tmp_path / "killed", cut)
        (cut / f"{FILE}-wal").write_bytes(log[: rng.randrange(len(log))] if i % 2 else flipped(log, rng))
        (cut / f"{FILE}-shm").unlink(missing_ok=True)
        done = command("show", cut, "--json")
        assert done.status in (0, 2), done
        assert len(done.errors.splitlines()) == (done.status == 2)
        kept["told in a line" if done.status else "read"] += 1
        if i < 6:
            finish("symbolic", cut)
            assert everything(cut) == everything(runs / "symbolic")
    figures(f"100 damaged logs of a killed run: {dict(kept)}; 6 of them resumed, equal to one never stopped")


def _size(path):
    return path.stat().st_size if path.exists() else 0
