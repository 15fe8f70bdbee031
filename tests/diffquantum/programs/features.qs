// One small operation for each construct of the language that a program may use; `t` and `s` are parameters.

operation BreakAtFlag(t : Double) : Int {
    use q = Qubit[2];
    mutable k = 0;
    mutable go = true;
    while go {
        Ry(t, q[0]);
        if MResetZ(q[0]) == One { k = 7; break; }
        Rx(t, q[1]);
        if MResetZ(q[1]) == One { k = 3; go = false; }
    }
    k
}

operation BreakNested(t : Double) : Int {
    use q = Qubit[2];
    mutable k = 0;
    for i in 0..3 {
        Ry(t, q[0]);
        if M(q[0]) == One {
            k += i;
            X(q[0]);
            if i > 1 { break; }
        }
        for j in 0..1 {
            Rx(t, q[1]);
            if MResetZ(q[1]) == One { k += 1; continue; }
            Ry(0.2, q[1]);
        }
    }
    ResetAll(q);
    k
}

operation Flip(t : Double, q : Qubit) : Bool {
    Ry(t, q);
    let r = M(q);
    if r == One { X(q); }
    Ry(t * 2.0, q);
    return MResetZ(q) == One;
}

operation Calls(t : Double, s : Double) : Bool {
    use q = Qubit[2];
    let a = Flip(t, q[0]);
    let b = Flip(s, q[1]);
    let c = Flip(t + s, q[0]);
    a and (b or c)
}

operation MovingQubit(t : Double) : Int {
    use q = Qubit[2];
    mutable n = 0;
    mutable k = 0;
    Ry(t, q[0]);
    while MResetZ(q[n]) == Zero {
        Ry(t * Std.Convert.IntAsDouble(n + 1), q[n]);
        Rx(0.7, q[n]);
        n = (n + 1) % 2;
        k += n + 1;
    }
    ResetAll(q);
    k
}

operation Layer(theta : Double[], q : Qubit[]) : Int {
    mutable go = true;
    mutable n = 0;
    while go {
        for i in 0..Length(theta) - 1 { Ry(theta[i], q[i]); Rz(2.0 * theta[i] + 0.1, q[0]); }
        for t in theta { Rx(t, q[0]); }
        CNOT(q[0], q[1]);
        n += 1;
        go = MResetZ(q[0]) == Zero;
    }
    n
}

operation SquareOfCount(t : Double) : Int {
    use q = Qubit();
    mutable n = 0;
    mutable m = 0;
    repeat {
        Ry(t, q);
        n += 1;
        if M(q) == One { m += 2 * n; } else { m -= 1; }
    } until MResetZ(q) == One;
    n * n + m
}

operation Parity(t : Double) : Bool {
    use q = Qubit[2];
    mutable p = false;
    repeat {
        Ry(t, q[0]);
        Ry(0.7 * t, q[1]);
        let r = MResetZ(q[0]) == One;
        p = p != r;
    } until MResetZ(q[1]) == One;
    p
}

operation ControlledGates(t : Double) : Result[] {
    use q = Qubit[3];
    H(q[0]);
    Controlled Rx([q[0]], (t, q[1]));
    Controlled Ry([q[0], q[1]], (t, q[2]));
    R1(t, q[0]);
    Controlled R1([q[0]], (t * 0.5, q[1]));
    Rzz(t, q[0], q[1]);
    H(q[0]);
    Controlled Exp([q[0]], ([PauliX, PauliZ], t, q[1..2]));
    S(q[0]);
    H(q[0]);
    SWAP(q[0], q[2]);
    T(q[1]);
    SX(q[1]);
    [MResetZ(q[0]), MResetZ(q[1]), MResetZ(q[2])]
}

operation JointMeasurement(t : Double) : Int {
    use q = Qubit[2];
    Ry(t, q[0]);
    Rx(t, q[1]);
    let b = Measure([PauliX, PauliZ], q);
    if b == One { Ry(t, q[0]); }
    let k = b == One ? 4 | 0;
    let r = MeasureEachZ(q);
    ResetAll(q);
    k + Std.Convert.ResultArrayAsInt(r)
}

operation Count(t : Double, q : Qubit) : Int {
    mutable n = 0;
    Ry(t, q);
    while M(q) == Zero { n += 1; Ry(t, q); }
    Reset(q);
    n
}

operation ProductOfCounts(t : Double, s : Double) : Int {
    use q = Qubit();
    let a = Count(t, q);
    let b = Count(s, q);
    a * b
}

operation Weights(t : Double) : Double {
    use q = Qubit();
    mutable w = 0.0;
    mutable g = 1.0;
    for i in 1..4 {
        Ry(t, q);
        if M(q) == One { w += g * t; }
        g *= 0.5 * t;
    }
    Reset(q);
    w
}

operation ChangingAngle(t : Double) : Int {
    use q = Qubit();
    mutable x = t;
    mutable n = 0;
    for i in 1..4 {
        Ry(x, q);
        if M(q) == One { n += 1; }
        x = 0.5 * x + 0.1;
    }
    Reset(q);
    n
}

operation Saturating(t : Double) : Int {
    use q = Qubit();
    mutable n = 0;
    mutable d = false;
    repeat {
        Ry(t / Std.Convert.IntAsDouble(n + 1), q);
        d = MResetZ(q) == One;
        if n < 3 { n += 1; }
    } until d;
    n
}

operation Functions(t : Double) : Result {
    use q = Qubit();
    Ry(Std.Math.Sqrt(t) + Std.Math.ArcTan(t) - Std.Math.Cos(t) / 2.0, q);
    Rx(-t, q);
    Rz(Std.Math.ArcSin(t / 2.0) + Std.Math.Log(t) + Std.Math.Tan(t / 3.0), q);
    H(q);
    MResetZ(q)
}

operation Shots(t : Double, count : Int, flip : Bool, shift : Double) : Int {
    use q = Qubit();
    mutable n = 0;
    for i in 1..count {
        Ry(t + shift, q);
        if flip { X(q); }
        if M(q) == One { n += 1; }
    }
    Reset(q);
    n
}

operation Entangle(t : Double, head : Qubit, tail : Qubit[]) : Unit {
    use a = Qubit();
    mutable d = false;
    repeat {
        Ry(t, head);
        CNOT(head, tail[0]);
        Rx(0.5 * t, tail[1]);
        Rxx(t, tail[1], a);
        d = MResetZ(a) == One;
    } until d fixup { Rz(t, head); }
}

operation Several(t : Double) : (Int, Double, Bool[]) {
    use q = Qubit();
    mutable n = 0;
    H(q);
    while MResetZ(q) == Zero {
        Ry(t, q);
        n = (n + 1) % 3;
    }
    (n, 0.5 * t, [n == 0, true])
}
