// One operation for each construct of the language; `t` and `s` are parameters, and every mean depends on them.
// Those that the compiler refuses stand in texts of their own, in probes.py.

operation ForOverRange(t : Double) : Int {
    use q = Qubit();
    mutable n = 0;
    for i in 3..-1..1 { Ry(t, q); if M(q) == One { n += i; } }
    Reset(q);
    n
}

operation ForOverQubits(t : Double) : Int {
    use qs = Qubit[3];
    for q in qs { Ry(t, q); }
    CNOT(qs[0], qs[1]);
    mutable n = 0;
    for q in qs { if MResetZ(q) == One { n += 1; } }
    n * n
}

operation ArrayConstantIndex(theta : Double[]) : Result {
    use q = Qubit();
    repeat { Ry(theta[0], q); Rx(theta[2], q); Rz(theta[1], q); } until M(q) == One;
    Ry(theta[1], q);
    MResetZ(q)
}

operation ArrayForIndex(theta : Double[]) : Int {
    use qs = Qubit[2];
    mutable n = 0;
    repeat {
        for i in 0..Length(theta) - 1 { Ry(theta[i] + theta[(i + 1) % 3], qs[i % 2]); CNOT(qs[0], qs[1]); }
        n += 1;
    } until MResetZ(qs[0]) == One;
    Reset(qs[1]);
    n
}

operation ArrayForElement(theta : Double[]) : Bool {
    use q = Qubit();
    for angle in theta { Ry(angle, q); Rz(0.5 * angle, q); }
    MResetZ(q) == One
}

operation ArraySlice(theta : Double[]) : Result {
    use q = Qubit();
    let (head, rest) = (theta[...1], theta[1...]);
    Ry(head[0] + rest[1], q);
    Rx(rest[0], q);
    for i in 0..1 { Ry(theta[1...][1], q); }
    MResetZ(q)
}

operation ArrayZipped(theta : Double[]) : Result[] {
    use qs = Qubit[3];
    for (angle, q) in Std.Arrays.Zipped(theta, qs) { Ry(angle, q); }
    MResetEachZ(qs)
}

operation ArrayMapped(theta : Double[]) : Result {
    use q = Qubit();
    for angle in Std.Arrays.Mapped(x -> 2.0 * x + 0.1, theta) { Ry(angle, q); }
    MResetZ(q)
}

operation IntArithmetic(t : Double) : Int {
    use q = Qubit();
    mutable (a, b) = (7, 3);
    repeat {
        Ry(t, q);
        a = (a * 5 - b) % 11;
        b = (b + a) / 2 ^^^ 1;
        b = (b <<< 1) &&& 7;
    } until MResetZ(q) == One;
    a - 2 * b
}

operation DoubleArithmetic(t : Double, s : Double) : Double {
    use q = Qubit();
    let angle = (t - s / 3.0) * 2.0 + t * s - (-t);
    Ry(angle, q);
    let scale = t / s;
    MResetZ(q) == One ? scale | 0.5 * scale - t
}

operation BoolArithmetic(t : Double) : Bool {
    use qs = Qubit[3];
    for q in qs { Ry(t, q); }
    let a = MResetZ(qs[0]) == One;
    let b = MResetZ(qs[1]) == One;
    let c = MResetZ(qs[2]) == One;
    (a and not b) or (c != a) and (b or not c)
}

operation IntAsAngle(t : Double) : Result {
    use q = Qubit();
    for i in 1..3 { Ry(t / Std.Convert.IntAsDouble(i), q); Rz(Std.Convert.IntAsDouble(i), q); }
    MResetZ(q)
}

operation Absolute(t : Double) : Result {
    use q = Qubit();
    Ry(Std.Math.AbsD(0.3 - t), q);
    Rx(t, q);
    MResetZ(q)
}

operation Sine(t : Double) : Result {
    use q = Qubit();
    Ry(Std.Math.Sin(t) + 0.2, q);
    MResetZ(q)
}

operation SquareRoot(t : Double) : Result {
    use q = Qubit();
    Ry(Std.Math.Sqrt(1.0 + t * t), q);
    MResetZ(q)
}

operation DoubleInLoop(t : Double) : Int {
    use q = Qubit();
    mutable angle = t;
    mutable n = 0;
    for i in 0..4 {
        Ry(angle, q);
        if M(q) == One { n += 1; angle = 0.5 * angle; } else { angle += 0.1; }
    }
    Reset(q);
    n
}

operation ControlledGates(t : Double) : Int {
    use qs = Qubit[3];
    for q in qs { H(q); }
    Controlled Rx([qs[0]], (t, qs[1]));
    Controlled Ry([qs[1], qs[2]], (2.0 * t, qs[0]));
    Controlled Rz([qs[2]], (t, qs[1]));
    Controlled R1([qs[0]], (t, qs[2]));
    for q in qs { Ry(0.7, q); }
    Std.Convert.ResultArrayAsInt(MResetEachZ(qs))
}

operation AdjointGates(t : Double) : Result {
    use q = Qubit();
    H(q);
    S(q);
    Adjoint Ry(t, q);
    Rx(0.3, q);
    Adjoint R1(2.0 * t, q);
    Adjoint T(q);
    H(q);
    MResetZ(q)
}

operation TwoQubitRotations(t : Double) : Result[] {
    use qs = Qubit[2];
    H(qs[0]);
    Rxx(t, qs[0], qs[1]);
    Rzz(2.0 * t, qs[0], qs[1]);
    Ryy(0.7 * t, qs[0], qs[1]);
    H(qs[0]);
    MResetEachZ(qs)
}

operation PauliExponential(t : Double) : Int {
    use qs = Qubit[3];
    mutable n = 0;
    repeat {
        n += 1;
        Exp([PauliX, PauliY, PauliZ], t, qs);
        H(qs[2]);
        Controlled Exp([qs[2]], ([PauliY, PauliX], 0.5 * t, qs[0..1]));
    } until MResetZ(qs[0]) == One;
    ResetAll(qs);
    n
}

operation Mix(angle : Double, a : Qubit, b : Qubit) : Unit is Adj + Ctl {
    Ry(angle, a);
    CNOT(a, b);
    within { H(b); } apply { Rx(0.5 * angle, b); S(a); }
}

operation ControlledOperation(t : Double) : Result[] {
    use qs = Qubit[3];
    H(qs[0]);
    Controlled Mix([qs[0]], (t, qs[1], qs[2]));
    H(qs[0]);
    MResetEachZ(qs)
}

operation AdjointOperation(t : Double) : Result[] {
    use qs = Qubit[2];
    Mix(t, qs[0], qs[1]);
    Rz(1.0, qs[0]);
    Adjoint Mix(1.5 * t, qs[0], qs[1]);
    MResetEachZ(qs)
}

operation Closure(t : Double) : Result {
    use q = Qubit();
    let factor = 1.5;
    let turn = (angle, target) => { Ry(factor * angle + t, target); };
    for i in 1..2 { turn(0.5 * t, q); Rz(0.4, q); }
    MResetZ(q)
}

operation PartialApplication(t : Double) : Result {
    use q = Qubit();
    let turn = Ry(t, _);
    let both = Mix(2.0 * t, _, _);
    use r = Qubit();
    repeat { turn(r); both(q, r); } until MResetZ(r) == One;
    MResetZ(q)
}

operation ToEach(t : Double) : Int {
    use qs = Qubit[3];
    ApplyToEach(Ry(t, _), qs);
    CNOT(qs[0], qs[2]);
    ApplyToEachCA(Rx(0.4 * t, _), qs);
    Std.Convert.ResultArrayAsInt(MResetEachZ(qs))
}

operation Tuples(t : Double, s : Double) : Result {
    use q = Qubit();
    let pair = ((t, 2), s);
    let ((a, k), b) = pair;
    Ry(a * Std.Convert.IntAsDouble(k), q);
    Rx(b, q);
    MResetZ(q)
}

operation NestedLoops(t : Double, s : Double) : Int {
    use (a, b) = (Qubit(), Qubit());
    mutable n = 0;
    repeat {
        repeat { n += 1; Ry(s, b); Rx(0.2, a); } until MResetZ(b) == One;
        Ry(t, a);
        CNOT(a, b);
        Reset(b);
    } until M(a) == One;
    Reset(a);
    n
}

operation QubitsInLoops(t : Double) : Int {
    use q = Qubit();
    mutable n = 0;
    H(q);
    repeat {
        use a = Qubit();
        Ry(t, a);
        Rzz(t, a, q);
        H(q);
        n += 1;
        Reset(a);
    } until M(q) == One;
    Reset(q);
    n
}

operation Turned(angle : Double, q : Qubit) : Bool {
    mutable any = false;
    while not any { Ry(angle, q); Rz(angle, q); any = M(q) == One; Ry(0.3, q); }
    Ry(2.0 * angle, q);
    MResetZ(q) == One
}

operation CallsOfLoops(t : Double) : Bool {
    use qs = Qubit[2];
    let a = Turned(t, qs[0]);
    let b = Turned(2.0 * t, qs[1]);
    a != b
}

operation Powers(depth : Int, angle : Double, q : Qubit) : Unit {
    if depth > 0 { Ry(angle, q); Powers(depth - 1, 0.5 * angle, q); Rx(angle, q); }
}

operation StaticRecursion(t : Double) : Result {
    use q = Qubit();
    Powers(3, t, q);
    MResetZ(q)
}

operation Tries(angle : Double, q : Qubit, r : Qubit) : Unit {
    Ry(angle, q);
    if M(q) == Zero { Rx(angle, r); Tries(angle, q, r); }
}

operation DynamicRecursion(t : Double) : Bool {
    use (q, r) = (Qubit(), Qubit());
    Tries(t, q, r);
    Reset(q);
    MResetZ(r) == One
}

operation Breaks(t : Double) : Int {
    use q = Qubit();
    mutable n = 0;
    while true { Ry(t, q); if MResetZ(q) == One { break; } n += 2; if n > 7 { break; } }
    n
}

operation Continues(t : Double) : Int {
    use q = Qubit();
    mutable n = 0;
    for i in 0..3 { Ry(t, q); if M(q) == One { continue; } n += i; Rz(t, q); Rx(0.4, q); }
    Reset(q);
    n
}

operation WithinApplyInLoop(t : Double) : Int {
    use (q, r) = (Qubit(), Qubit());
    mutable n = 0;
    repeat {
        within { Ry(t, q); CNOT(q, r); } apply { Rz(0.8, q); T(r); }
        Rx(t, r);
        n += 1;
    } until MResetZ(r) == One;
    Reset(q);
    n
}

operation PauliMeasurement(t : Double) : Int {
    use qs = Qubit[3];
    Ry(t, qs[0]);
    Rx(t, qs[1]);
    H(qs[2]);
    let a = Measure([PauliX, PauliY, PauliZ], qs) == One;
    let b = Measure([PauliX], qs[0..0]) == One;
    ResetAll(qs);
    (a ? 2 | 0) + (b ? 1 | 0)
}

operation PreparedState(t : Double) : Result[] {
    use qs = Qubit[2];
    Std.StatePreparation.PreparePureStateD([0.5, 0.1, -0.7, 0.5], qs);
    Ry(t, qs[0]);
    Rx(t, qs[1]);
    MResetEachZ(qs)
}

operation Fourier(t : Double) : Int {
    use qs = Qubit[3];
    Ry(t, qs[0]);
    Rx(t, qs[2]);
    ApplyQFT(qs);
    Ry(0.5 * t, qs[1]);
    Std.Convert.ResultArrayAsInt(MResetEachZ(qs))
}

operation DynamicQubit(t : Double) : Int {
    use qs = Qubit[3];
    mutable (at, n) = (0, 0);
    while at < 2 {
        Ry(t, qs[at]);
        Rx(0.3, qs[at + 1]);
        n += 1;
        if M(qs[at]) == One { at += 1; }
    }
    ResetAll(qs);
    n
}

operation BitsAsNumber(t : Double) : Int {
    use qs = Qubit[3];
    for i in 0..2 { Ry(t * Std.Convert.IntAsDouble(i + 1), qs[i]); }
    let k = Std.Convert.ResultArrayAsInt(MeasureEachZ(qs));
    ResetAll(qs);
    if k > 4 { Ry(t, qs[0]); }
    k + (MResetZ(qs[0]) == One ? 10 | 0)
}

operation ConditionalExpression(t : Double) : Int {
    use q = Qubit();
    Ry(t, q);
    let a = M(q) == One;
    Ry(a ? 2.0 * t | 0.5, q);
    let n = if a { 3 } else { if M(q) == One { 5 } else { 1 } };
    n + (MResetZ(q) == One ? 1 | 0)
}

operation ReturnsDouble(t : Double) : Double {
    use q = Qubit();
    mutable w = 1.0;
    repeat { Ry(t, q); w *= 0.5 * t; } until MResetZ(q) == One;
    return w + 1.0;
}

operation ReturnsInt(t : Double) : Int {
    use q = Qubit();
    Ry(t, q);
    Ry(t, q);
    return MResetZ(q) == One ? -3 | 4;
}

operation ReturnsBool(t : Double) : Bool {
    use q = Qubit();
    Ry(t, q);
    return MResetZ(q) == Zero;
}

operation ReturnsTuple(t : Double) : (Int, (Double, Bool), Result[]) {
    use qs = Qubit[2];
    mutable n = 0;
    repeat { Ry(t, qs[0]); n += 1; CNOT(qs[0], qs[1]); } until M(qs[0]) == One;
    let rs = MResetEachZ(qs);
    (n, (t * 2.0, rs[1] == One), rs)
}
