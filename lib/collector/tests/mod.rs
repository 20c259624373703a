//! For the room's tests: trees of files, and the tests of what holds for every collector.

mod set;
pub(super) mod tree;
