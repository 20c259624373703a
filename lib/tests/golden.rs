//! Collectors over a fixture tree.
