"""Abstract execution: what can be known of a program without running it on arrays.

A program's text is one of many for the same function. `Graph` forgets the text: each distinct value becomes a node
(*value numbering*), constants fold, a few exact identities apply, and whatever cannot reach an update is dropped, a
state too if no later update can depend on it. The digest hashes that graph, and `simplify` writes it down again.
"""

from __future__ import annotations

import functools
import hashlib
import re
import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from .errors import ProgramError
from .folding import fold, overflows, single
from .program import Operand, Program, Slot, Statement, number_temporaries, shape_of, shapes_after
from .vocabulary import ELSEWHERE, FUNCTIONS, INPUT_SHAPES, NUMBERS, SIZES, Kind, Shape

Node = tuple[object, ...]
"""``(function, *argument ids)``, ``("literal", value)``, ``("input", name)`` or ``("state", name)``."""

_LEAVES = frozenset(("literal", "input", "state"))
_FLOAT = struct.Struct("<f")
_COMMUTES = {name for name, function in FUNCTIONS.items() if function.commutes}
_ELEMENTWISE = {name for name, function in FUNCTIONS.items() if function.kind is Kind.ELEMENTWISE}


def check(program: Program) -> None:
    """Raise ProgramError unless every operand is bound and every returned state fits its slot (a mutant may fail)."""
    known = program.input_names | program.dialect.constants
    for target, _, operands in program.statements:
        for operand in operands:
            if operand.__class__ is str and operand not in known:
                raise ProgramError(f"{operand!r} is used before it is assigned")
        known.add(target)
    for operand in program.returns:
        if isinstance(operand, str) and operand not in known:
            raise ProgramError(f"{operand!r} is returned but never assigned")
    if any(slot.shape is not Shape.FULL for slot in program.states):
        shapes = shapes_after(program.states, program.statements)
        for slot, value in zip(program.states, program.returns[1:], strict=True):
            got = shape_of(value, shapes)
            if got & ~slot.shape:
                raise ProgramError(f"state {slot.name!r} is declared {slot.shape.label} but is returned as {got.label}")


def has_tree_functions(program: Program) -> bool:
    """Tell whether a program has functions over all leaves."""
    return any(FUNCTIONS[s.function].kind in (Kind.TREE, Kind.TREE_SCALED) for s in program.statements)


def questions(program: Program) -> list[str]:
    """Return what to ask about a valid program, a line each: states that may have been meant as inputs."""
    inputs = program.dialect.inputs
    asked = []
    for name, *_ in program.states:
        meant = ELSEWHERE[program.kind].get(name.lower())
        if meant is not None:
            hint = f"the {inputs[meant]} is called {meant!r}" if meant else f"the inputs are {', '.join(inputs)}"
            asked.append(f"{name!r} is read as a state: zero at first, then what the program returned for it; {hint}")
    return asked


@dataclass
class Graph:
    """The distinct values of a program, as a graph.

    Attributes:
        nodes: the values, in an order in which arguments come before the functions that use them.
        names: for each node, the variable that first held it ("" for none).
        update: the node of the update.
        states: the node of each state's new value, by the state's name.
        live: the nodes that an update, now or later, depends on.
    """

    nodes: list[Node]
    names: list[str]
    update: int
    states: dict[str, int]
    live: set[int]

    @classmethod
    def of(cls, program: Program, *, defaults: bool) -> Graph:
        """Number the values of a program; with `defaults`, hyperparameters are the literals of their defaults."""
        nodes: list[Node] = []
        names: list[str] = []
        index: dict[Node | bytes, int] = {}

        def add(key: Node | bytes, node: Node, name: str = "") -> int:
            found = index.get(key)
            if found is None:
                found = index[key] = len(nodes)
                nodes.append(node)
                names.append(name)
            return found

        def literal(value: float) -> int:
            return add(_FLOAT.pack(value), ("literal", value))

        bound: dict[str, int] = {}
        states = program.shapes
        for name in program.inputs:
            node: Node = ("state" if name in states else "input", name)
            bound[name] = add(node, node)
        for name, default in program.hyperparameters:
            bound[name] = literal(default) if defaults else add(("input", name), ("input", name))

        def read(operand: Operand) -> int:
            if operand.__class__ is float:
                return literal(operand)  # pyright: ignore[reportArgumentType]
            found = bound.get(operand)  # pyright: ignore[reportCallIssue, reportArgumentType]
            if found is None:
                if operand in NUMBERS:
                    return literal(NUMBERS[operand])
                if operand in SIZES:
                    return add(("input", operand), ("input", operand))
                raise ProgramError(f"{operand!r} is used before it is assigned")
            return found

        for target, function, operands in program.statements:
            arguments = [read(operand) for operand in operands]
            contents = [nodes[argument] for argument in arguments]
            value = _identity(function, arguments, contents)
            if value is None:
                node = (function, *arguments)
                if function in _COMMUTES and arguments[0] > arguments[1]:
                    bound[target] = add((function, arguments[1], arguments[0]), node, target)
                else:
                    bound[target] = add(node, node, target)
            else:
                bound[target] = literal(value) if value.__class__ is float else value  # pyright: ignore
        returns = [read(operand) for operand in program.returns]
        graph = cls(nodes, names, returns[0], dict(zip(states, returns[1:], strict=True)), set())
        graph._find_live()
        return graph

    def _find_live(self) -> None:
        waiting = [self.update]
        live, nodes = self.live, self.nodes
        while waiting:
            i = waiting.pop()
            if i not in live:
                live.add(i)
                node = nodes[i]
                if node[0] == "state":
                    waiting.append(self.states[node[1]])  # pyright: ignore[reportArgumentType]
                elif node[0] not in _LEAVES:
                    waiting.extend(node[1:])  # pyright: ignore[reportArgumentType]

    def live_states(self) -> list[str]:
        """Names of the states that a later update can depend on."""
        return [str(self.nodes[i][1]) for i in self.live if self.nodes[i][0] == "state"]


def _identity(function: str, arguments: list[int], contents: list[Node]) -> int | float | None:
    """Return the node, or the literal's value, that a function of nodes always equals, or None."""
    values = [content[1] if content[0] == "literal" else None for content in contents]
    literals = len(values) - values.count(None)
    if literals:
        last = values[-1]
        if last == 1 and function in ("multiply", "divide", "power"):
            return arguments[0]
        if last == 0 and function in ("add", "subtract"):
            return arguments[0]
        if function == "interp" and last in (0, 1):
            return arguments[int(last)]  # pyright: ignore[reportArgumentType]
        if (function == "multiply" and values[0] == 1) or (function == "add" and values[0] == 0):
            return arguments[1]
    if function == "negative" and contents[0][0] == "negative":
        return contents[0][1]  # pyright: ignore[reportReturnType]
    if len(arguments) > 1 and arguments[-1] == arguments[-2] and function in ("where", "maximum", "minimum"):
        return arguments[-1]
    if literals == len(values) and function in _ELEMENTWISE:
        return fold(function, values)  # pyright: ignore[reportArgumentType]
    return None


# --- digest ----------------------------------------------------------------------------------------------------------

_MASK = (1 << 128) - 1
_MULTIPLIER = 0x9E3779B97F4A7C15F39CC0605CEDC835  # odd, bits well spread (golden ratio)


def _seed(*parts: str) -> int:
    return int.from_bytes(hashlib.blake2b("\0".join(parts).encode(), digest_size=16).digest(), "little")


_SEEDS = {name: _seed("function", name) for name in FUNCTIONS}
_INPUT_SEEDS = {name: _seed("input", name) for name in (*INPUT_SHAPES, *SIZES)}
_LITERAL_SEED = _seed("literal")


@functools.cache
def _state_seed(shape: Shape, start: float | str) -> int:
    first = () if start == 0.0 else (start if isinstance(start, str) else repr(single(start)),)
    return _seed("state", shape.label, *first)


_Entry = tuple[int, int, tuple[int, ...], bool]  # a node, its function's seed, its arguments, whether they commute


def digest(program: Program) -> str:
    """Return the semantic hash of a program; see `Program.digest`.

    States have no names here. Each starts as its shape, and is replaced, round after round, by the hash of its next
    value in terms of the others, until a round tells no more states apart than the one before: then two states are
    equal exactly if no step can tell them apart (Moore's partition refinement).
    """
    return _digest(Graph.of(program, defaults=True), program.states)


def _digest(graph: Graph, states: tuple[Slot, ...]) -> str:
    nodes = graph.nodes
    seeds = {slot.name: _state_seed(slot.shape, slot.start) for slot in states}
    hashes = [0] * len(nodes)
    entries: list[_Entry] = []
    slots: list[tuple[int, int]] = []
    for i in sorted(graph.live):
        node = nodes[i]
        name: str = node[0]  # pyright: ignore[reportAssignmentType]
        if name == "literal":
            bits = int.from_bytes(_FLOAT.pack(node[1]), "little")
            hashes[i] = ((_LITERAL_SEED ^ bits) * _MULTIPLIER) & _MASK
        elif name == "input":
            hashes[i] = _INPUT_SEEDS[node[1]]  # pyright: ignore[reportArgumentType]
        elif name == "state":
            hashes[i] = seeds[node[1]]  # pyright: ignore[reportArgumentType]
            slots.append((i, graph.states[node[1]]))  # pyright: ignore[reportArgumentType]
        else:
            entries.append((i, _SEEDS[name], node[1:], name in _COMMUTES))  # pyright: ignore[reportArgumentType]
    _hash_nodes(hashes, entries)
    classes = 0
    while slots:
        found = len({hashes[slot] for slot, _ in slots})
        if found == classes:
            break
        classes = found
        after = [((3 * hashes[slot] + hashes[new]) * _MULTIPLIER) & _MASK for slot, new in slots]
        for (slot, _), value in zip(slots, after, strict=True):
            hashes[slot] = value
        _hash_nodes(hashes, entries)
    return hashlib.blake2b(hashes[graph.update].to_bytes(16, "little"), digest_size=16).hexdigest()


def _hash_nodes(hashes: list[int], entries: list[_Entry]) -> None:
    for i, value, arguments, commutes in entries:
        parts = [hashes[argument] for argument in arguments]
        if commutes:
            parts.sort()
        for part in parts:
            value = ((value ^ part) * _MULTIPLIER) & _MASK
            value ^= value >> 67
        hashes[i] = value


# --- writing a graph down again --------------------------------------------------------------------------------------


def simplify(program: Program) -> Program:
    """Return the program without what `Graph` merges, folds or drops; names are kept where they are free."""
    graph = Graph.of(program, defaults=False)
    live_states = set(graph.live_states())
    nodes, live = graph.nodes, graph.live
    states = tuple(slot for slot in program.states if slot.name in live_states)
    results = [graph.update, *(graph.states[slot.name] for slot in states)]
    uses = [0] * len(nodes)
    order = [i for i in sorted(live) if nodes[i][0] not in _LEAVES]
    for i in order:
        for argument in nodes[i][1:]:
            uses[argument] += 1  # pyright: ignore[reportArgumentType, reportCallIssue]
    for i in results:
        uses[i] += 1
    read = {nodes[i][1] for i in live if nodes[i][0] in ("input", "state")}
    inputs = tuple(name for name in program.inputs if name in read)
    hyperparameters = tuple((name, default) for name, default in program.hyperparameters if name in read)

    held: dict[str, int] = {str(nodes[i][1]): i for i in live if nodes[i][0] in ("input", "state")}
    name_of: dict[int, str] = {i: name for name, i in held.items()}
    left = list(uses)
    fixed = {name for name, _ in hyperparameters} | {*NUMBERS, *SIZES}

    def operand(i: int) -> Operand:
        left[i] -= 1
        return float(nodes[i][1]) if nodes[i][0] == "literal" else name_of[i]  # pyright: ignore[reportArgumentType]

    def free(name: str) -> bool:
        return name not in fixed and (name not in held or left[held[name]] == 0)

    statements: list[Statement] = []
    temporaries = 0
    for i in order:
        function, *arguments = nodes[i]
        operands = tuple(operand(argument) for argument in arguments)  # pyright: ignore[reportArgumentType]
        name = graph.names[i]
        if name.startswith("_") or not name:
            temporaries += 1
            name = f"_{temporaries}"
        elif not free(name):
            base, number = name.rstrip("0123456789"), 2
            while not free(f"{base}{number}"):
                number += 1
            name = f"{base}{number}"
        held[name] = i
        name_of[i] = name
        statements.append(Statement(name, str(function), operands))
    returns = tuple(operand(i) for i in results)
    return number_temporaries(Program(inputs, states, hyperparameters, tuple(statements), returns, program.kind))


def lift(program: Program, others: Sequence[Program] = ()) -> Program:
    """Return the program with each literal except 0, 1, 2 and their negatives as a hyperparameter `c1`, `c2`, ...

    Args:
        program: the program.
        others: lifted programs of the same rule: equal literals get their names, other literals names that they lack.
    """
    own, *theirs = ({*each.input_names, *(s.target for s in each.statements)} for each in (program, *others))
    taken = own.union(*theirs)
    names: dict[float, str] = {}
    shared = {value: name for each in others for name, value in each.hyperparameters if re.fullmatch(r"c\d+", name)}

    def operand(value: Operand) -> Operand:
        if isinstance(value, str) or abs(value) in (0, 1, 2):
            return value
        if value in shared and shared[value] not in own:
            names.setdefault(value, shared[value])
        if value not in names:
            number = len(names) + 1
            while f"c{number}" in taken:
                number += 1
            taken.add(f"c{number}")
            names[value] = f"c{number}"
        return names[value]

    statements = tuple(s._replace(operands=tuple(map(operand, s.operands))) for s in program.statements)
    returns = tuple(map(operand, program.returns))
    hyperparameters = program.hyperparameters + tuple((name, value) for value, name in names.items())
    return replace(program, hyperparameters=hyperparameters, statements=statements, returns=returns)


def with_weight_decay(program: Program, name: str = "weight_decay") -> Program:
    """Return the program with the literal that multiplies the weights as a hyperparameter of that name.

    The program is returned as it is where there is no such term: where the update is not a sum, perhaps scaled, of
    which one summand is the weights times a positive literal.
    """
    if program.kind != "update" or name in dict(program.hyperparameters):
        return program
    current: dict[str, int] = {}  # by variable: the statement that set it last
    sources: list[list[int | None]] = []  # by statement: for each operand the statement that set it
    for i, (target, _, operands) in enumerate(program.statements):
        sources.append([current.get(operand) if isinstance(operand, str) else None for operand in operands])
        current[target] = i
    returned = [current.get(operand) for operand in program.returns if isinstance(operand, str)]
    uses = Counter(source for each in (*sources, returned) for source in each)
    scalars = {name for name, _ in program.hyperparameters} | {"lr", "t", "progress"}

    def scalar(i: int, place: int) -> bool:
        operand, source = program.statements[i].operands[place], sources[i][place]
        if source is not None:
            both = len(sources[source]) == 2 and scalar(source, 0) and scalar(source, 1)
            return program.statements[source].function == "multiply" and both
        return not isinstance(operand, str) or operand in scalars

    def is_weights(i: int, place: int) -> bool:
        return sources[i][place] is None and program.statements[i].operands[place] == "w"

    def summands(i: int | None) -> list[tuple[int, int]]:
        """Return (statement, place of its literal) of the weights' terms in the value of a statement."""
        if i is None or uses[i] > 1:
            return []
        _, function, operands = program.statements[i]
        if function == "add":
            return [*summands(sources[i][0]), *summands(sources[i][1])]
        if function == "subtract":
            return summands(sources[i][0])
        if function != "multiply":
            return []
        for place in (0, 1):
            factor = operands[place]
            if is_weights(i, 1 - place) and isinstance(factor, float) and factor > 0:
                return [(i, place)]
            if scalar(i, place):
                return summands(sources[i][1 - place])
        return []

    update = program.returns[0]
    found = summands(current.get(update) if isinstance(update, str) else None)
    taken = program.input_names | {statement.target for statement in program.statements}
    if len(found) != 1 or name in taken:
        return program
    (i, place), statements = found[0], list(program.statements)
    operands = list(statements[i].operands)
    value, operands[place] = operands[place], name
    statements[i] = statements[i]._replace(operands=tuple(operands))
    hyperparameters = (*program.hyperparameters, (name, value))
    return replace(program, hyperparameters=hyperparameters, statements=tuple(statements))  # pyright: ignore


class Summary(NamedTuple):
    """What a search needs to know of a mutant before it runs.

    Attributes:
        digest: see `Program.digest`.
        length: statements that reach an update.
        cost: time of one step for one weight, in multiplications.
        called: the functions of those statements.
        reads: inputs that reach an update.
        overflows: whether a constant is beyond float32's range, as ``exp(1000)`` is.
    """

    digest: str
    length: int
    cost: int
    called: tuple[str, ...]
    reads: frozenset[str]
    overflows: bool


def summarize(program: Program) -> Summary:
    """Check a program and return its summary.

    Raises:
        ProgramError: see `check`.
    """
    check(program)
    graph = Graph.of(program, defaults=True)
    words = [graph.nodes[i] for i in graph.live]
    called = tuple(sorted(str(word[0]) for word in words if word[0] not in _LEAVES))
    cost = sum(FUNCTIONS[name].cost for name in called)
    reads = frozenset(word[1] for word in words if word[0] == "input")
    mark = _digest(graph, program.states)
    overflowing = any(_overflows(graph, word) for word in words)
    return Summary(mark, len(called), cost, called, reads, overflowing)  # pyright: ignore[reportArgumentType]


def _overflows(graph: Graph, node: Node) -> bool:
    """Tell whether a node is a function of constants that did not fold because float32 cannot hold it."""
    if node[0] not in _ELEMENTWISE:
        return False
    contents = [graph.nodes[argument] for argument in node[1:]]  # pyright: ignore[reportArgumentType, reportCallIssue]
    if any(content[0] != "literal" for content in contents):
        return False
    return overflows(str(node[0]), [content[1] for content in contents])  # pyright: ignore[reportArgumentType]
