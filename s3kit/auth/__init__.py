"""Who is calling, and may they: signatures in, an identity or a decision out. No I/O of its own."""
