//! The private directory of the inner server's socket: mode 0700, removed at the end, and swept
//! when a process that was killed could not.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use super::gate::Place;
use crate::base::random;

/// Longest path of a Unix socket (`sun_path` of unix(7), less its closing zero).
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// A directory of our own, removed with everything in it.
#[derive(Debug)]
pub(crate) struct Directory {
    pub(crate) path: PathBuf,
    /// The directory around it, when it was made here too.
    made_around: Option<PathBuf>,
}

impl Directory {
    /// Makes one below `runtime_dir`, which is made too if it is missing.
    ///
    /// # Errors
    /// The kernel's reason, or that the path would be too long for a socket.
    pub(crate) fn make(runtime_dir: &Path) -> io::Result<Self> {
        let made_around = (!runtime_dir.exists()).then(|| runtime_dir.to_owned());
        fs::create_dir_all(runtime_dir)?;
        remove_abandoned(runtime_dir);
        let name = format!("gate-{}-{:08x}", std::process::id(), random::u128() as u32);
        let path = runtime_dir.join(name);
        let longest = place_in(&path, 9_999).socket;
        if longest.as_os_str().len() > SOCKET_PATH_BYTES_MAX {
            let words = format!(
                "'{}' is too long for the path of a Unix socket (at most {SOCKET_PATH_BYTES_MAX} \
                 bytes): expected a shorter directory for run-time files",
                longest.display()
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, words));
        }
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self { path, made_around })
    }

    /// The socket of one generation of the server.
    pub(crate) fn place(&self, generation: u64) -> Place {
        place_in(&self.path, generation)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            log::debug!("http: '{}' stays behind: {error}", self.path.display());
        }
        if let Some(around) = &self.made_around {
            // Somebody may have put something there since.
            let _ = fs::remove_dir(around);
        }
    }
}

/// Removes what processes that were killed have left: directories in which nobody listens.
fn remove_abandoned(runtime_dir: &Path) {
    let Ok(entries) = fs::read_dir(runtime_dir) else { return };
    for directory in entries.flatten() {
        if !directory.file_name().to_string_lossy().starts_with("gate-") {
            continue;
        }
        let Ok(files) = fs::read_dir(directory.path()) else { continue };
        // An empty one may belong to a process that is starting just now.
        let sockets: Vec<_> = files.flatten().map(|file| file.path()).collect();
        let refuses = |socket: &PathBuf| {
            let answer = UnixStream::connect(socket);
            answer.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
        };
        if !sockets.is_empty() && sockets.iter().all(refuses) {
            let _ = fs::remove_dir_all(directory.path());
        }
    }
}

/// The socket of one generation of the server.
pub(crate) fn place_in(directory: &Path, generation: u64) -> Place {
    Place { socket: directory.join(format!("{generation}.sock")), generation }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;
    use std::os::unix::net::UnixListener;

    #[test]
    fn it_is_private_and_leaves_nothing() {
        let around = std::env::temp_dir().join(format!("rtm-dir-{}", std::process::id()));
        let directory = Directory::make(&around).unwrap();
        assert_eq!(fs::metadata(&directory.path).unwrap().mode() & 0o777, 0o700);
        drop(directory);
        assert!(!around.exists());
    }

    #[test]
    fn what_killed_processes_left_is_removed_and_what_lives_is_not() {
        let runtime_dir = std::env::temp_dir().join(format!("rtm-left-{}", std::process::id()));
        let [dead, living, starting] = ["gate-1-a", "gate-2-b", "gate-3-c"].map(|name| {
            let folder = runtime_dir.join(name);
            fs::create_dir_all(&folder).unwrap();
            folder
        });
        drop(UnixListener::bind(dead.join("0.sock")).unwrap());
        let _listener = UnixListener::bind(living.join("0.sock")).unwrap();
        drop(Directory::make(&runtime_dir).unwrap());
        assert!(!dead.exists() && living.exists() && starting.exists());
        fs::remove_dir_all(runtime_dir).unwrap();
    }

    #[test]
    fn a_path_that_is_too_long_for_a_socket_is_said_in_words() {
        let long = std::env::temp_dir().join("x".repeat(90));
        let words = Directory::make(&long).unwrap_err().to_string();
        assert!(words.contains("too long") && words.contains("107"), "{words}");
        fs::remove_dir(long).unwrap();
    }
}
