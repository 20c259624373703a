//! Room: see `lib/lib.rs`.
