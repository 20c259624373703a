//! The real programs, a real broker.
