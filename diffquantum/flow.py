"""Control flow graphs to structured blocks: natural loops become `While`, branches become `If`."""

import dataclasses
from collections.abc import Iterable

import networkx

from diffquantum.errors import UnsupportedError
from diffquantum.ir import Assign, Binary, Block, Const, Expression, If, Unary, Var, While

LIMIT = 20_000  # statements copied while joining paths, before we give up
END = "<end>"


@dataclasses.dataclass(frozen=True)
class Node:
    """A basic block: its statements, then a jump to one of `targets`.

    No target ends the function; one is a plain jump; two are taken where `condition` holds and where it does not.
    """

    code: Block
    targets: tuple[str, ...] = ()
    condition: Expression | None = None


def negate(condition: Expression) -> Expression:
    """`not condition`, without double negation."""
    return condition.x if isinstance(condition, Unary) and condition.op == "not" else Unary("not", condition)


def structure(entry: str, nodes: dict[str, Node], fresh: Iterable[str]) -> Block:
    """The statements that do what a control flow graph does.

    Args:
        entry: name of the first node.
        nodes: all nodes by name.
        fresh: names for the variables that say where a loop was left; an endless iterator.

    Returns:
        A block with the same meaning. Loops with one exit that every turn passes become plain `While`; others leave
        through a variable. Paths that share code without nesting are copied.

    Raises:
        UnsupportedError: a loop can be entered in two places, never ends, or the copies grow beyond a limit.
    """
    nodes = _reachable(entry, nodes)
    fresh = iter(fresh)
    size = {header: len(body) for header, body in _loops(entry, nodes).items()}
    for header in sorted(size, key=lambda h: size[h]):  # inner loops first
        nodes = _collapse(header, _loops(entry, nodes)[header], nodes, fresh)
    return _Acyclic(nodes, {}).emit(entry, END)


def _reachable(entry: str, nodes: dict[str, Node]) -> dict[str, Node]:
    seen, todo = {}, [entry]
    while todo:
        name = todo.pop()
        if name not in seen:
            seen[name] = nodes[name]
            todo.extend(nodes[name].targets)
    return seen


def _graph(nodes: dict[str, Node]) -> "networkx.DiGraph":
    graph = networkx.DiGraph()
    graph.add_nodes_from(nodes)
    graph.add_edges_from((name, target) for name, node in nodes.items() for target in node.targets)
    return graph


def _loops(entry: str, nodes: dict[str, Node]) -> dict[str, set[str]]:
    """The nodes of the natural loops by their header: the target of an edge that dominates its source."""
    graph = _graph(nodes)
    above = networkx.immediate_dominators(graph, entry)

    def dominates(a: str, b: str) -> bool:
        while b != a and above.get(b, b) not in (b, None):
            b = above[b]
        return a == b

    back = [(source, header) for source, header in graph.edges if dominates(header, source)]
    forward = graph.copy()
    forward.remove_edges_from(back)
    if not networkx.is_directed_acyclic_graph(forward):
        raise UnsupportedError(
            "A loop of the program can be entered in two places.",
            got="an irreducible control flow graph",
            expected="loops with one entry, as while and repeat make them",
            try_="write the jump as a while loop with a flag",
        )
    loops: dict[str, set[str]] = {}
    for source, header in back:
        body, todo = loops.setdefault(header, {header}), [source]
        while todo:
            name = todo.pop()
            if name not in body:
                body.add(name)
                todo.extend(graph.predecessors(name))
    return loops


def _collapse(header: str, body: set[str], nodes: dict[str, Node], fresh) -> dict[str, Node]:
    """Replace the nodes of a loop, whose inner loops are gone, by one node that holds the `While`."""
    inside = {name: nodes[name] for name in body}
    leaving = [(name, target) for name in inside for target in inside[name].targets if target not in body]
    exits = list(dict.fromkeys(target for _, target in leaving))
    outside = {name: node for name, node in nodes.items() if name not in body}
    if not exits:
        raise UnsupportedError(
            "A loop of the program has no way out.",
            got="a loop whose condition never changes",
            expected="a condition that a measurement can end",
            try_="leave the loop where a measurement says so",
        )
    region = _Acyclic(inside, {header: (), **dict.fromkeys(exits, ())}, loop=header)
    if len(leaving) == 1 and len(inside[leaving[0][0]].targets) == 2 and region.always(header, leaving[0][0]):
        source, target = leaving[0]
        last = inside[source]
        assert last.condition is not None
        stay, condition = last.targets[0], last.condition
        if stay == target:
            stay, condition = last.targets[1], negate(last.condition)
        before = (*region.emit(header, source, first=True), *last.code)
        rest = () if stay == header else region.emit(stay, END)
        return outside | {header: Node((While(before, condition, rest),), (target,))}
    flag = next(fresh)
    if len(exits) == 1:
        start, going = Const(True), Var(flag)
        sinks = {exits[0]: (Assign(flag, Const(False)),)}
    else:
        start, going = Const(0), Binary("eq", Var(flag), Const(0))
        sinks = {target: (Assign(flag, Const(i + 1)),) for i, target in enumerate(exits)}
    turn = _Acyclic(inside, {header: (), **sinks}, loop=header).emit(header, END, first=True)
    code = (Assign(flag, start), While((), going, turn))
    name = header
    for i, target in enumerate(exits[:-1]):
        rest = exits[-1] if i == len(exits) - 2 else f"{header}:{i}"
        outside[name] = Node(code, (target, rest), Binary("eq", Var(flag), Const(i + 1)))
        name, code = rest, ()
    if len(exits) == 1:
        outside[header] = Node(code, (exits[0],))
    return outside


class _Acyclic:
    """A region without loops: nodes, and what to do where a path leaves it (`sinks`)."""

    def __init__(self, nodes: dict[str, Node], sinks: dict[str, Block], loop: str | None = None):
        self.nodes, self.sinks, self.count = nodes, sinks, 0
        graph = networkx.DiGraph()
        graph.add_node(END)
        for name, node in nodes.items():
            for target in node.targets or (END,):
                ends = target in sinks and (target == loop or target not in nodes)
                graph.add_edge(END if ends else target, name)  # reversed
        self.after = networkx.immediate_dominators(graph, END)

    def always(self, start: str, name: str) -> bool:
        """Whether every path from `start` passes `name`."""
        while start not in (name, END):
            start = self.after[start]
        return start == name

    def emit(self, name: str, stop: str, first: bool = False) -> Block:
        """The statements from a node up to `stop`, which is left out."""
        out: list = []
        while name not in (stop, END):
            if name in self.sinks and not first:
                return (*out, *self.sinks[name])
            first = False
            node = self.nodes[name]
            self.count += len(node.code) + 1
            if self.count > LIMIT:
                raise UnsupportedError(
                    "The branches of the program share too much code to be nested.",
                    got=f"more than {LIMIT} statements after copying",
                    expected="branches that meet again where they began",
                    try_="simplify the break and continue statements of the program",
                )
            out.extend(node.code)
            if len(node.targets) < 2:
                name = node.targets[0] if node.targets else END
                continue
            meet = self.after[name]
            yes, no = (self.emit(target, meet) for target in node.targets)
            assert node.condition is not None
            if yes or no:
                out.append(If(node.condition, yes, no) if yes else If(negate(node.condition), no))
            name = meet
        return tuple(out)
