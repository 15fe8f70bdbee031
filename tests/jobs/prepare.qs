// Two entangled qubits; the first is rotated until a flag reads One, so the number of turns is unbounded.
operation Prepare(theta : Double[], qs : Qubit[]) : Unit {
    use flag = Qubit();
    Ry(theta[1], qs[1]);
    Ry(theta[0], flag);
    while M(flag) == Zero {
        Ry(theta[1], qs[0]);
        Ry(theta[0], flag);
    }
    Reset(flag);
    CNOT(qs[0], qs[1]);
}
