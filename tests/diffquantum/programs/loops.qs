// Programs with unbounded loops; their expected values and gradients are in tests/reference/programs.json.
operation T01_GeoCount(t : Double) : Int { use r = Qubit(); mutable n = 0; Ry(t, r); while M(r) == Zero { Ry(t, r); n += 1; } Reset(r); n }
operation T02_RusZ(t : Double, p : Double) : Result { use (q, r) = (Qubit(), Qubit()); Ry(t, r); while M(r) == Zero { Rx(p, q); Ry(t, r); } Reset(r); MResetZ(q) }
operation T03_Neuron(f : Double) : Result {
    use (q, a) = (Qubit(), Qubit()); mutable ok = false;
    repeat { Ry(2.0*f, a); Controlled Ry([a], (Std.Math.PI(), q)); Adjoint Ry(2.0*f, a); set ok = MResetZ(a) == Zero; } until ok fixup { Ry(Std.Math.PI()/2.0, q); }
    MResetZ(q) }
operation T03b_NeuronTries(f : Double) : Int {
    use (q, a) = (Qubit(), Qubit()); mutable ok = false; mutable n = 0;
    repeat { n += 1; Ry(2.0*f, a); Controlled Ry([a], (Std.Math.PI(), q)); Adjoint Ry(2.0*f, a); set ok = MResetZ(a) == Zero; } until ok fixup { Ry(Std.Math.PI()/2.0, q); }
    Reset(q); n }
operation T04_Ruin(t : Double) : Bool { use r = Qubit(); mutable x = 2; while x > 0 and x < 5 { Ry(t, r); if MResetZ(r) == One { x += 1; } else { x -= 1; } } x == 5 }
operation T05_Extractor(t : Double) : Int { use (a, b) = (Qubit(), Qubit()); mutable n = 0; mutable d = false; repeat { n += 1; Ry(t, a); Ry(t, b); set d = MResetZ(a) != MResetZ(b); } until d; n }
operation T05b_ExtractorBit(t : Double) : Bool { use (a, b) = (Qubit(), Qubit()); mutable bit = false; mutable d = false; repeat { Ry(t, a); Ry(t, b); let x = MResetZ(a) == One; let y = MResetZ(b) == One; set bit = x; set d = x != y; } until d; bit }
operation T06_Nested(t : Double, p : Double) : Int { use (a, b) = (Qubit(), Qubit()); mutable n = 0; mutable d = false; repeat { mutable e = false; repeat { n += 1; Ry(p, b); set e = MResetZ(b) == One; } until e; Ry(t, a); set d = MResetZ(a) == One; } until d; n }
operation Inc(c : Qubit[], x : Qubit[]) : Unit is Adj + Ctl { Controlled X(c + [x[0], x[1]], x[2]); Controlled X(c + [x[0]], x[1]); Controlled X(c, x[0]); }
operation T07_WalkTime(t : Double) : Int {            // positions 0..4, absorbing 0 and 4, start 1
    use x = Qubit[3]; use c = Qubit(); use f = Qubit(); mutable n = 0; X(x[0]); mutable d = false;
    repeat { n += 1; Ry(t, c); within { X(c); } apply { Adjoint Inc([c], x); } Inc([c], x);
        within { X(x[0]); X(x[1]); } apply { Controlled X([x[0], x[1]], f); } // x mod 4 == 0
        set d = MResetZ(f) == One; } until d;
    ResetAll(x); Reset(c); n }
operation T08_Zeno(t : Double, p : Double) : Int { use (q, a) = (Qubit(), Qubit()); mutable n = 0; mutable d = false; repeat { n += 1; Rx(p, q); Controlled Ry([q], (t, a)); set d = MResetZ(a) == One; } until d; Reset(q); n }
operation T09_ExpPair(t : Double) : Result[] { use (q, b, a) = (Qubit(), Qubit(), Qubit()); mutable d = false; repeat { Exp([PauliX, PauliY], t, [q, b]); H(b); Rxx(0.9*t, b, a); Rz(t, q); set d = MResetZ(a) == One; } until d fixup { Ry(0.4, q); } [MResetZ(q), MResetZ(b)] }
operation T10_Chain(t : Double) : Result { T02_RusZ(Std.Math.Sin(t) + 1.0, t * t) }
operation T11_AA(t : Double) : Int { // amplitude-amplification loop, p0 = 1/100
    use (q, r) = (Qubit(), Qubit()); mutable n = 0; let a = 2.0 * Std.Math.ArcSin(0.1); Ry(a, q); mutable d = false;
    repeat { n += 1; Z(q); Ry(-a, q); Z(q); Ry(a, q); Controlled Ry([q], (t, r)); set d = MResetZ(r) == One; } until d; Reset(q); n }
operation T12_Discount(t : Double, g : Double) : Double { use r = Qubit(); mutable w = 1.0; Ry(t, r); while M(r) == Zero { Ry(t, r); set w *= g; } Reset(r); w }
operation RecZ(t : Double, p : Double, q : Qubit, r : Qubit) : Unit { Ry(t, r); if M(r) == Zero { Rx(p, q); RecZ(t, p, q, r); } }
operation T13_Recursive(t : Double, p : Double) : Result { use (q, r) = (Qubit(), Qubit()); RecZ(t, p, q, r); Reset(r); MResetZ(q) }
operation T14_CondBody(t : Double, p : Double) : Int { use (r, s) = (Qubit(), Qubit()); mutable n = 0; Ry(t, r); while M(r) == Zero { Ry(t, r); Ry(p, s); if MResetZ(s) == One { n += 2; } else { n += 1; } } Reset(r); n }
operation T15_Race(t : Double, p : Double) : Bool { use (a, b) = (Qubit(), Qubit()); mutable wa = false; mutable d = false; repeat { Ry(t, a); if MResetZ(a) == One { set wa = true; set d = true; } else { Ry(p, b); if MResetZ(b) == One { set d = true; } } } until d; wa }
operation T16_Heavy(t : Double) : Int { T01_GeoCount(t) }
