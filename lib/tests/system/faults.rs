//! A ledger that cannot see a fault proves nothing.
