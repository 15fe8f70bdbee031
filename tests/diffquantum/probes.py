"""One program for each construct of the language: what compiles, what probing helps with, what is refused."""

import functools
import pathlib
import re

import diffquantum
from diffquantum.ir import Program

SOURCE = pathlib.Path(__file__).parent / "programs" / "probes.qs"
HELPERS = ("Mix", "Turned", "Powers", "Tries")
NAMES = tuple(n for n in re.findall(r"^operation (\w+)", SOURCE.read_text(), re.MULTILINE) if n not in HELPERS)

PROBED = {
    "Power": "operation Power(t : Double) : Result { use q = Qubit(); Ry(t^1.0, q); MResetZ(q) }",
    "Struct": """struct Angles { First : Double, Second : Double }
        operation Struct(t : Double, s : Double) : Int {
            use q = Qubit(); mutable n = 0; let a = new Angles { First = 2.0 * t, Second = s };
            repeat { Ry(a.First, q); Rx(a.Second, q); n += 1; } until MResetZ(q) == One; n }""",
    "LocalArray": """operation LocalArray(t : Double, s : Double) : Int {
            use q = Qubit(); mutable n = 0; let angles = [t, s, 0.5 * t - s];
            repeat { for a in angles { Ry(a, q); } n += 1; } until MResetZ(q) == One; n }""",
}

REFUSED = {
    "ReturnInLoop": """operation ReturnInLoop(t : Double) : Int { use q = Qubit();
        for i in 0..3 { Ry(t, q); if MResetZ(q) == One { return i; } } 9 }""",
    "ArrayUpdate": """operation ArrayUpdate(t : Double) : Int { use q = Qubit(); mutable a = [0, 0]; mutable k = 0;
        repeat { Ry(t, q); if M(q) == One { k = 1 - k; } a w/= k <- a[k] + 1; } until MResetZ(q) == One; a[0] }""",
    "GrowingArray": """operation GrowingArray(t : Double) : Int { use q = Qubit(); mutable a = [];
        repeat { Ry(t, q); a += [1]; } until MResetZ(q) == One; Length(a) }""",
    "DynamicRange": """operation DynamicRange(t : Double) : Int { use q = Qubit(); mutable n = 0;
        repeat { Ry(t, q); n += 1; } until MResetZ(q) == One; mutable k = 0; for i in 0..n { k += i; } k }""",
    "Fails": """operation Fails(t : Double) : Int { use q = Qubit(); Ry(t, q);
        if MResetZ(q) == One { fail "one"; } 3 }""",
    "CheckZero": """operation CheckZero(t : Double) : Bool { use q = Qubit(); Ry(t, q);
        let zero = Std.Diagnostics.CheckZero(q); Reset(q); zero }""",
    "Random": """operation Random(t : Double) : Result { use q = Qubit(); Ry(t, q);
        if Std.Random.DrawRandomInt(0, 1) == 1 { X(q); } MResetZ(q) }""",
    "RecursionWithValue": """operation RecursionWithValue(t : Double) : Int { use q = Qubit(); Tries(t, 1, q) }
        operation Tries(t : Double, n : Int, q : Qubit) : Int {
            Ry(t, q); MResetZ(q) == One ? n | Tries(t, n + 1, q) }""",
    "NotAffine": "operation NotAffine(t : Double) : Result { use q = Qubit(); Ry(t^2.0, q); MResetZ(q) }",
    "BranchInStruct": """struct Angle { Value : Double }
        operation BranchInStruct(t : Double) : Result { use q = Qubit(); let a = new Angle { Value = t };
            if a.Value > 1.0 { Ry(a.Value, q); } else { Rx(a.Value, q); } MResetZ(q) }""",
}


@functools.cache
def probe(name: str, **settings) -> Program:
    """The program of a probe, compiled once."""
    if name.startswith("Array") and name in NAMES:
        settings = {"parameters": 3} | settings
    return diffquantum.load((PROBED | REFUSED).get(name, SOURCE), entry=name, **settings)
