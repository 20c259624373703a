//! For tests: a root directory made of texts, and a reading of one collector as text.

use std::path::{Path, PathBuf};

use crate::base::clock::Scripted;
use crate::collector::{Context, Registration, Set};

/// A temporary root, removed at the end of the test.
#[derive(Debug)]
pub(in crate::collector) struct Tree {
    root: PathBuf,
}

impl Tree {
    /// An empty one; `name` tells the tests of one run apart.
    pub(in crate::collector) fn new(name: &str) -> Self {
        let root = std::env::temp_dir().join(format!("monitor-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&root);
        std::fs::create_dir_all(&root).unwrap();
        Self { root }
    }

    pub(in crate::collector) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// A new file takes the place of the old one, as a package manager does it.
    pub(in crate::collector) fn write(&self, name: &str, text: &str) {
        self.write_bytes(name, text.as_bytes());
    }

    pub(in crate::collector) fn write_bytes(&self, name: &str, bytes: &[u8]) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let _ = std::fs::remove_file(&path);
        std::fs::write(path, bytes).unwrap();
    }

    pub(in crate::collector) fn make_dir(&self, name: &str) {
        std::fs::create_dir_all(self.path(name)).unwrap();
    }

    pub(in crate::collector) fn remove(&self, name: &str) {
        let path = self.path(name);
        if path.is_dir() {
            std::fs::remove_dir_all(path).unwrap();
        } else {
            std::fs::remove_file(path).unwrap();
        }
    }

    /// As a collector sees it: 100 ticks a second, a clock that stands still.
    pub(in crate::collector) fn context(&self) -> Context {
        let clock = Scripted::new(1_000_000);
        Context { root: self.root.clone(), user_hz: 100, include_filtered: false, clock }
    }

    /// A set of this one collector over the tree.
    pub(in crate::collector) fn set(&self, registration: &'static Registration) -> Set {
        Set::new(&[registration], self.context())
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.root);
    }
}

/// One reading, a line for each sample and then one for each error, without the tree's own path.
pub(in crate::collector) fn read(set: &mut Set) -> Vec<String> {
    let reading = set.collect(&|_| true);
    let samples = reading.samples.iter().map(|(key, value)| match value {
        crate::metric::Value::Unsigned(value) => format!("{key} {value}"),
        crate::metric::Value::Float(value) => format!("{key} {value:?}"),
    });
    let errors = reading.errors.iter().map(|(_, error)| relative(set.root(), &error.to_string()));
    samples.chain(errors).collect()
}

/// A reading of one collector over one file.
#[track_caller]
pub(in crate::collector) fn check(
    registration: &'static Registration,
    file: &str,
    text: &str,
    expected: &[&str],
) {
    // Tests run side by side: the caller's line keeps their trees apart.
    let line = std::panic::Location::caller().line();
    let tree = Tree::new(&format!("{}-{line}", registration.name));
    tree.write(file, text);
    assert_eq!(read(&mut tree.set(registration)), expected);
}

fn relative(root: &Path, words: &str) -> String {
    words.replace(&format!("{}/", root.display()), "")
}
