"""QIR text (Adaptive profile, parameters as opaque calls) to the structured program IR."""

import itertools
import re
from collections.abc import Iterator

import pyqir

from diffquantum.compiler import PARAMETER
from diffquantum.errors import GradketError, UnsupportedError
from diffquantum.flow import Node, structure
from diffquantum.ir import (
    Assign,
    Binary,
    Block,
    Const,
    Expression,
    Index,
    Parameter,
    Program,
    Select,
    Unary,
    Var,
)
from diffquantum.memory import Element, Slot, Table, Value, load, store
from diffquantum.opcodes import (
    FLOAT,
    INTEGER,
    MATH,
    NONSENSE,
    PREDICATE,
    choose,
    kind_of,
    nonsense,
    opcode_of,
    order,
    plain_pointers,
    quantum,
    result_names,
    tables,
    tail_calls,
    unsupported,
)
from diffquantum.tidy import fold, size, tidy

DEEPEST = 24  # calls of one operation inside itself


def read(
    text: str, name: str, parameters: tuple[str, ...], register: tuple[int, ...] = (), source: str = ""
) -> Program:
    """Read a program from QIR.

    Args:
        text: QIR of one entry point; recursion is of tail calls, or of a depth that constants decide.
        name: name of the program.
        parameters: names of the parameters; parameter `i` is a call of the function `GradketParameter` with `i`.
        register: qubits an observable acts on.
        source: the Q# text, kept for messages.

    Returns:
        The structured program.

    Raises:
        SourceError: the text is no QIR.
        UnsupportedError: something in the text has no meaning here.
    """
    try:
        return _Reader(text).program(name, parameters, register, source)
    except GradketError:
        raise
    except NONSENSE as error:
        raise nonsense(error) from error


class _Reader:
    """One module; functions are lowered once per call, with their arguments filled in."""

    def __init__(self, text: str):
        self.context = pyqir.Context()
        text = plain_pointers(text)
        if "\0" in text:  # the parser panics
            raise ValueError("expected text, found the character 0")
        self.module = pyqir.Module.from_ir(self.context, text)
        self.functions = {f.name: f for f in self.module.functions if len(list(f.basic_blocks))}
        self.tables = {name: Table(values) for name, values in tables(text).items()}
        self.bits = result_names({n: ([p.name for p in f.params], _code(f)) for n, f in self.functions.items()})
        self.stack: list[str] = []
        self.counters: dict[str, Iterator[int]] = {}
        self.outputs: list[tuple[str, Expression]] = []
        self.shape: list[tuple[str, int]] = []

    def fresh(self, prefix: str) -> str:
        return f"{prefix}{next(self.counters.setdefault(prefix, itertools.count()))}"

    def names(self, prefix: str) -> Iterator[str]:
        while True:
            yield self.fresh(prefix)

    def program(self, name: str, parameters: tuple[str, ...], register: tuple[int, ...], source: str) -> Program:
        entries = [f for f in self.module.functions if pyqir.is_entry_point(f)]
        if len(entries) != 1:
            raise unsupported(f"{len(entries)} entry points")
        entry = entries[0]
        qubits = pyqir.required_num_qubits(entry) or 0
        body, _ = self.lower(entry.name, ())
        kind = kind_of(self.shape, [k for k, _ in self.outputs])
        outputs = tuple(value for _, value in self.outputs)
        program = Program(name, parameters, qubits, body, outputs, kind, register, (), source)
        return tidy(program)

    # ------------------------------------------------------------------------------------------ functions

    def lower(self, name: str, arguments: tuple[Value, ...]) -> tuple[Block, Expression | None]:
        """The block of a function with these arguments, and the expression it returns.

        Recursion ends here where a condition on constant arguments ends it: branches never taken are not lowered.
        """
        if self.stack.count(name) > DEEPEST:
            raise UnsupportedError(
                f"The operation {name} calls itself, and goes on after the call.",
                got=f"recursion that is no tail call, more than {DEEPEST} deep or as deep as a measurement says",
                expected="recursion as the last thing an operation does, or to a depth that is a constant",
                try_="write the recursion as a repeat or while loop",
            )
        self.stack.append(name)
        function = self.functions[name]
        lowering = _Function(self, function, arguments)
        block = structure(lowering.entry, lowering.nodes(), self.names("go"))
        self.stack.pop()
        return (*lowering.prologue, *block), lowering.result


def _code(function: pyqir.Function) -> list:
    return [i for block in function.basic_blocks for i in block.instructions]


class _Function:
    """The lowering of one function for one call."""

    def __init__(self, reader: _Reader, function: pyqir.Function, arguments: tuple[Value, ...]):
        self.reader, self.function = reader, function
        self.blocks = {b.name: list(b.instructions) for b in function.basic_blocks}
        self.entry = function.basic_blocks[0].name
        self.values: dict[str, Value] = {}
        self.prologue: Block = ()
        self.tail = tail_calls(function.name, self.blocks)
        self.slots: tuple[str, ...] = ()
        self.result: Expression | None = None
        self.bits = reader.bits[function.name]
        self.uses: dict[str, int] = {}
        for instructions in self.blocks.values():
            for instruction in instructions:
                for operand in instruction.operands:
                    self.uses[operand.name] = self.uses.get(operand.name, 0) + 1
        names = [p.name for p in function.params]
        if self.tail and any(arg != p for args in self.tail.values() for arg, p in zip(args, names)):
            self.slots = tuple(reader.fresh("a") for _ in names)  # arguments that change from turn to turn
            if not all(isinstance(a, Expression) for a in arguments):
                raise unsupported(f"recursion of {function.name} with arrays")
            self.prologue = tuple(Assign(s, a) for s, a in zip(self.slots, arguments))  # type: ignore[arg-type]
            self.values.update((n, Var(s)) for n, s in zip(names, self.slots))
        else:
            self.values.update(zip(names, arguments, strict=True))

    def nodes(self) -> dict[str, Node]:
        """The control flow graph; phi nodes become assignments on the edges."""
        out: dict[str, Node] = {}
        for name in order(self.entry, self.blocks):
            for instruction in self.blocks[name]:
                if isinstance(instruction, pyqir.Phi):
                    self.values[instruction.name] = Var(self.reader.fresh("p"))
        live = {self.entry}  # in this order, all ways into a block but those from its own loop come before it
        for name in order(self.entry, self.blocks):
            if name not in live:
                continue
            code: list = []
            targets: tuple[str, ...] = ()
            condition = None
            for position, instruction in enumerate(self.blocks[name]):
                if (name, position) in self.tail:
                    code += self.again(self.tail[name, position], instruction)  # type: ignore[arg-type]
                    targets = (self.entry,)
                    break
                if opcode_of(instruction) == "BR":
                    targets, condition = self.branch(instruction)
                elif opcode_of(instruction) == "RET":
                    code += self.leave(instruction)
                else:
                    code += self.step(instruction)
            live.update(targets)
            edges = tuple(self.edge(name, target, out) for target in targets)
            out[name] = Node(tuple(code), edges, condition if len(edges) == 2 else None)
        return out

    def again(self, arguments: tuple[str, ...], call: pyqir.Call) -> list:
        """Set the arguments for another turn of a tail call."""
        if not self.slots:
            return []
        names = [p.name for p in self.function.params]
        values = [self.bit(a) if p in self.bits else self.expression(a) for a, p in zip(call.args, names)]
        held = [self.reader.fresh("t") for _ in values]
        return [Assign(t, v) for t, v in zip(held, values)] + [Assign(s, Var(t)) for s, t in zip(self.slots, held)]

    def branch(self, instruction) -> tuple[tuple[str, ...], Expression | None]:
        operands = instruction.operands
        if len(operands) == 1:
            return (operands[0].name,), None
        condition, no, yes = operands  # the reader lists the false target first
        decided = self.expression(condition)
        if yes.name == no.name or isinstance(decided, Const):
            return ((yes if getattr(decided, "value", True) else no).name,), None
        return (yes.name, no.name), decided

    def leave(self, instruction) -> list:
        """A return: the value goes to one variable that all returns share."""
        if not instruction.operands or self.function.name == "ENTRYPOINT__main":
            return []
        if not isinstance(self.result, Var):
            self.result = Var(self.reader.fresh("f"))
        read = self.bit if "return" in self.bits else self.expression
        return [Assign(self.result.name, read(instruction.operands[0]))]

    def edge(self, source: str, target: str, out: dict[str, Node]) -> str:
        """Name of the node to go to: the target, or a new one that sets its phi variables first."""
        phis = [i for i in self.blocks[target] if isinstance(i, pyqir.Phi)]
        if not phis:
            return target
        held, code = [], []
        for phi in phis:
            read = self.bit if phi.name in self.bits else self.expression
            value = next(read(v) for v, block in phi.incoming if block.name == source)
            held.append(Var(self.reader.fresh("t")))
            code.append(Assign(held[-1].name, value))
        code += [Assign(self.values[p.name].name, h) for p, h in zip(phis, held)]  # type: ignore[union-attr]
        name = f"{source}->{target}"
        out[name] = Node(tuple(code), (target,))
        return name

    # ------------------------------------------------------------------------------------------ instructions

    def value(self, operand: pyqir.Value) -> Value:
        """An operand: expression, memory, table or address. (`pyqir.ptr_id` must not see globals.)"""
        if isinstance(operand, pyqir.IntConstant):
            if operand.type.width == 1:
                return Const(bool(operand.value))
            return Const(operand.value - 2**64 if operand.value >= 2**63 else operand.value)
        if isinstance(operand, pyqir.FloatConstant):
            return Const(float(operand.value))
        if isinstance(operand, pyqir.Constant):
            text = str(operand)
            found = re.search(r"@([\w.]+)", text)  # a global prints with its whole definition
            if found and found.group(1) in self.reader.tables:
                return self.reader.tables[found.group(1)]
            if text.split() == ["ptr", "null"]:
                return Const(0)
            if found := re.fullmatch(r"ptr inttoptr \(i64 (\d+) to ptr\)", text.strip()):
                return Const(int(found.group(1)))
            raise unsupported(f"the constant {text}")
        return self.values[operand.name]

    def expression(self, operand: pyqir.Value) -> Expression:
        value = self.value(operand)
        if not isinstance(value, Expression):
            raise unsupported("an address used as a number")
        return value

    def step(self, instruction) -> list:
        """One instruction that is not a jump: set `values`, return statements."""
        if isinstance(instruction, pyqir.Call):
            return self.call(instruction)
        if isinstance(instruction, pyqir.Phi):
            return []
        opcode, name = opcode_of(instruction), instruction.name
        if opcode == "ALLOCA":
            found = re.search(r"alloca \[(\d+) x", str(instruction))
            kind = re.search(r"alloca (?:\[\d+ x )?(\w+)", str(instruction))
            word = "i1" if name in self.bits else kind.group(1) if kind else ""
            prefix = {"i1": "b", "i64": "n", "double": "x"}.get(word, "v")
            self.values[name] = Slot(self.reader.fresh(prefix), int(found.group(1)) if found else None)
            return []
        if opcode == "GET_ELEMENT_PTR":
            base = self.value(instruction.operands[0])
            if not isinstance(base, Slot | Table):
                raise unsupported("an array inside an array")
            self.values[name] = Element(base, self.expression(instruction.operands[-1]))
            return []
        if opcode == "STORE":
            value, place = instruction.operands
            read = self.bit if place.name in self.bits else self.expression
            return store(self.value(place), read(value))
        if opcode == "LOAD":
            place = self.value(instruction.operands[0])
            if isinstance(place, Element) and isinstance(place.base, Table):
                value = load(place)  # a constant table: the value stays an expression
                self.values[name] = self.numbered(value) if name in self.bits else value
                return []
            target = self.reader.fresh("t")
            self.values[name] = Var(target)
            return [Assign(target, load(place))]
        return self.define(name, self.arithmetic(opcode, instruction))

    def define(self, name: str, value: Expression) -> list:
        """Name a value: small or once used ones stay expressions."""
        value = fold(value)
        if self.uses.get(name, 0) > 1 and size(value) > 8:
            target = self.reader.fresh("t")
            self.values[name] = Var(target)
            return [Assign(target, value)]
        self.values[name] = value
        return []

    def arithmetic(self, opcode: str, instruction) -> Expression:
        operands = [self.expression(o) for o in instruction.operands]
        if opcode in INTEGER:
            return Binary(INTEGER[opcode], *operands)
        if opcode in FLOAT:
            return Binary(FLOAT[opcode], *operands)
        if opcode in ("ICMP", "FCMP"):
            predicate = str(instruction.predicate).split(".")[-1]
            if predicate in PREDICATE:
                return Binary(PREDICATE[predicate], *operands)
        if opcode == "SELECT":
            if instruction.name in self.bits:
                operands[1:] = [self.bit(o) for o in instruction.operands[1:]]
            return Select(*operands)
        if opcode == "FNEG":
            return Unary("neg", *operands)
        if opcode in ("SI_TO_FP", "UI_TO_FP"):
            return Unary("float", *operands)
        if opcode == "FP_TO_SI":
            return Unary("trunc", *operands)
        if opcode in ("ZEXT", "SEXT", "TRUNC"):
            return Select(operands[0], Const(1), Const(0)) if opcode == "ZEXT" else operands[0]
        raise unsupported(f"the instruction {str(instruction).strip()}")

    # ------------------------------------------------------------------------------------------ calls

    def call(self, instruction: pyqir.Call) -> list:
        name = instruction.callee.name
        reader = self.reader
        if name in reader.functions:
            bits, names = reader.bits[name], [p.name for p in reader.functions[name].params]
            given = (self.bit(a) if p in bits else self.value(a) for a, p in zip(instruction.args, names))
            code, result = reader.lower(name, tuple(given))
            if result is not None and instruction.name:
                target = reader.fresh("t")
                self.values[instruction.name] = Var(target)
                return [*code, Assign(target, result)]
            return list(code)
        if name.startswith("__quantum__rt__"):
            return self.runtime(name[len("__quantum__rt__") :], instruction)
        arguments = [self.expression(a) for a in instruction.args]
        if name == PARAMETER:
            assert isinstance(arguments[0], Const)
            self.values[instruction.name] = Parameter(int(arguments[0].value))
            return []
        if name in MATH:
            return self.define(instruction.name, Unary(MATH[name], *arguments))
        if name.startswith("__quantum__qis__"):
            return quantum(name[len("__quantum__qis__") :].removesuffix("__body"), arguments)
        raise unsupported(f"the function {name}")

    def runtime(self, name: str, instruction: pyqir.Call) -> list:
        reader = self.reader
        if name == "read_result":
            target = reader.fresh("t")
            self.values[instruction.name] = Var(target)
            return [Assign(target, self.bit(instruction.args[0]))]
        if name == "write_result":
            index = self.expression(instruction.args[1])
            if not isinstance(index, Const):
                raise unsupported("a measurement result chosen at run time")
            return [Assign(f"r{index.value}", self.expression(instruction.args[0]))]
        if name.endswith("_record_output"):
            kind = name.removesuffix("_record_output")
            if kind in ("array", "tuple"):
                count = self.expression(instruction.args[0])
                reader.shape.append((kind, int(count.value) if isinstance(count, Const) else -1))
                return []
            value = self.bit(instruction.args[0]) if kind == "result" else self.expression(instruction.args[0])
            target = reader.fresh("out")
            reader.outputs.append((kind, Var(target)))
            return [Assign(target, value)]
        if name == "initialize":
            return []
        raise unsupported(f"the runtime function {name}")

    def bit(self, operand: pyqir.Value) -> Expression:
        """The bool value of a measurement result: of its number, or what a variable was set to."""
        value = self.expression(operand)
        return value if operand.name in self.bits else self.numbered(value)

    def numbered(self, index: Expression) -> Expression:
        """The bool variable of a result with this number."""
        if isinstance(index, Const):
            return Var(f"r{index.value}")
        if isinstance(index, Index):
            return choose(index.index, [Var(f"r{i}") for i in index.table])
        raise unsupported("a measurement result chosen at run time")
