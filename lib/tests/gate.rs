//! Attacks on the web gate.
