// Repeat until success: q turns by phi once for every failure, and the number of failures has no bound.
operation RusZ(theta : Double, phi : Double) : Result {
    use (q, r) = (Qubit(), Qubit());
    Ry(theta, r);
    while M(r) == Zero {
        Rx(phi, q);
        Ry(theta, r);
    }
    Reset(r);
    MResetZ(q)
}
