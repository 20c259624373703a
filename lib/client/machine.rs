//! What a client says about its machine, and about its own cost. Everything is read under the
//! root; what is not there is left out.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;

use rustix::time::{ClockId, clock_gettime};

use crate::wire::TEXT_LEN_MAX;

/// Most that is read of any of these files; the longest, os-release, has about 400 bytes.
const FILE_BYTES_MAX: u64 = 16 * 1024;

/// What tells one machine from another.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Machine {
    /// Hash of `etc/machine-id`; 0 when there is none. The id itself is not for others to know
    /// (machine-id(5)).
    pub(super) id_hash: u64,
    /// `proc/sys/kernel/random/boot_id`; empty when there is none.
    pub(super) boot_id: String,
    /// `os`, `kernel` and `arch`, and what the operator adds.
    pub(super) labels: BTreeMap<String, String>,
}

/// What a process has used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Usage {
    /// CPU time of all its threads since its start.
    pub(super) cpu_us: u64,
    /// Resident memory; 0 when the root has no such file.
    pub(super) memory_bytes: u64,
}

impl Machine {
    /// Reads the machine under `root`; the operator's labels win over what is read.
    pub(super) fn read(root: &Path, labels: &BTreeMap<String, String>) -> Self {
        let id = read(root, "etc/machine-id");
        let mut found = BTreeMap::new();
        let os_release = read(root, "etc/os-release");
        let name = os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
        let kernel = read(root, "proc/sys/kernel/osrelease");
        let uname = rustix::system::uname();
        let arch = uname.machine().to_str().ok();
        let known = [("os", name), ("kernel", Some(&*kernel)), ("arch", arch)];
        for (label, value) in known {
            let value = short(value.unwrap_or_default());
            if !value.is_empty() {
                found.insert(label.to_owned(), value);
            }
        }
        found.extend(labels.iter().map(|(name, value)| (name.clone(), value.clone())));
        Self {
            id_hash: if id.trim().is_empty() { 0 } else { hash(&["machine-id", id.trim()]) },
            boot_id: short(&read(root, "proc/sys/kernel/random/boot_id")),
            labels: found,
        }
    }
}

/// What this process has used so far.
pub(super) fn own_usage(root: &Path) -> Usage {
    let cpu = clock_gettime(ClockId::ProcessCPUTime);
    let cpu_us = cpu.tv_sec * 1_000_000 + cpu.tv_nsec / 1_000;
    // Second field: resident pages (proc_pid_statm(5)).
    let statm = read(root, "proc/self/statm");
    let pages: u64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    Usage {
        cpu_us: u64::try_from(cpu_us).unwrap_or(0),
        memory_bytes: pages * rustix::param::page_size() as u64,
    }
}

/// 64-bit FNV-1a over the words: the same on every machine and in every version, which the
/// standard library's hash does not promise. For phases and for telling machines apart; it keeps
/// no secret.
pub(super) fn hash(words: &[&str]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in words.iter().flat_map(|word| word.bytes().chain([0])) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash
}

/// Without blanks and quotes around it, and no longer than a message may carry (a character has
/// at most four bytes).
fn short(text: &str) -> String {
    text.trim().trim_matches('"').chars().take(TEXT_LEN_MAX / 4).collect()
}

/// The text of a file, empty when it cannot be read.
fn read(root: &Path, path: &str) -> String {
    let mut text = Vec::new();
    if let Ok(file) = fs::File::open(root.join(path)) {
        // What came before an error is as good as what is there.
        let _ = file.take(FILE_BYTES_MAX).read_to_end(&mut text);
    }
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_under_the_root_and_misses_nothing_when_it_is_empty() {
        let root = std::env::temp_dir().join(format!("client-machine-{}", std::process::id()));
        let put = |path: &str, text: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        fs::create_dir_all(&root).unwrap();
        let bare = Machine::read(&root, &BTreeMap::new());
        assert_eq!((bare.id_hash, &*bare.boot_id, bare.labels.len()), (0, "", 1));
        assert_eq!(own_usage(&root).memory_bytes, 0);
        put("etc/machine-id", "4d1c3a\n");
        put("etc/os-release", "ID=debian\nPRETTY_NAME=\"Debian 13\"\n");
        put("proc/sys/kernel/osrelease", "6.12.1\n");
        put("proc/sys/kernel/random/boot_id", "b00t\n");
        put("proc/self/statm", "500 20 10 1 0 5 0\n");
        let own = BTreeMap::from([("os".to_owned(), "mine".to_owned())]);
        let machine = Machine::read(&root, &own);
        assert_eq!(machine.id_hash, hash(&["machine-id", "4d1c3a"]));
        assert_eq!(machine.boot_id, "b00t");
        let label = |name: &str| machine.labels.get(name).map(String::as_str);
        assert_eq!((label("os"), label("kernel")), (Some("mine"), Some("6.12.1")));
        let os = Machine::read(&root, &BTreeMap::new()).labels.remove("os");
        assert_eq!(os.as_deref(), Some("Debian 13"));
        assert_eq!(own_usage(&root).memory_bytes, 20 * rustix::param::page_size() as u64);
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn the_hash_is_the_published_one() {
        // FNV-1a of "foobar" and of one zero byte more.
        assert_eq!(hash(&[]), 0xcbf2_9ce4_8422_2325);
        let foobar = 0x8594_4171_f739_67e8_u64;
        assert_eq!(hash(&["foobar"]), foobar.wrapping_mul(0x0100_0000_01b3));
        assert_ne!(hash(&["ab", "c"]), hash(&["a", "bc"]));
    }
}
