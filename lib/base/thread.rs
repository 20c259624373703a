//! Threads with a name, contained panics, and a join on drop.
//!
//! A running thing in this program is a handle whose fields are dropped in the order in which it
//! must stop: first the sender whose closing ends the loop, then the [`Joined`] that waits for it.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

/// Longest name that `ps -L` and `top -H` show (Linux `TASK_COMM_LEN` less the closing zero).
pub const NAME_LEN_MAX: usize = 15;

static PANICS: AtomicU64 = AtomicU64::new(0);

/// How many panics were contained since the start of the process, in threads and by [`contain`].
#[must_use]
pub fn panics_total() -> u64 {
    PANICS.load(Ordering::Relaxed)
}

/// A thread that is waited for when this handle is dropped.
#[derive(Debug)]
pub struct Joined {
    handle: Option<JoinHandle<()>>,
}

impl Joined {
    /// Waits for the thread to end; what dropping does, as a word.
    pub fn join(mut self) {
        self.wait();
    }

    /// Lets the thread go on by itself; for calls into libraries that cannot be interrupted.
    pub fn abandon(mut self) {
        drop(self.handle.take());
    }

    /// Whether the thread has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.handle.as_ref().is_none_or(JoinHandle::is_finished)
    }

    fn wait(&mut self) {
        if let Some(handle) = self.handle.take() {
            // The panic was caught, counted and logged inside the thread; nothing is left to say.
            let _ = handle.join();
        }
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        self.wait();
    }
}

/// Starts a named thread. A panic in `body` ends this thread alone, is logged and counted.
///
/// # Errors
/// The kernel's refusal (`EAGAIN`: too many threads, or no memory for a stack).
pub fn spawn<F>(name: &str, body: F) -> io::Result<Joined>
where
    F: FnOnce() + Send + 'static,
{
    spawn_with_stack(name, None, body)
}

/// As [`spawn`], with a stack of `stack_bytes` instead of the default 2 MiB.
///
/// # Errors
/// As [`spawn`].
pub fn spawn_with_stack<F>(name: &str, stack_bytes: Option<usize>, body: F) -> io::Result<Joined>
where
    F: FnOnce() + Send + 'static,
{
    let label = name.to_owned();
    let mut builder = std::thread::Builder::new().name(name.chars().take(NAME_LEN_MAX).collect());
    if let Some(bytes) = stack_bytes {
        builder = builder.stack_size(bytes);
    }
    let handle = builder.spawn(move || {
        let _ = contain(&label, body);
    })?;
    Ok(Joined { handle: Some(handle) })
}

/// Runs `body`; a panic in it is logged with `what`, counted, and returned as `None`.
pub fn contain<T>(what: &str, body: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(value) => Some(value),
        Err(panic) => {
            PANICS.fetch_add(1, Ordering::Relaxed);
            let words = panic
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| panic.downcast_ref::<String>().cloned())
                .unwrap_or_else(|| "no message".to_owned());
            log::error!("{what}: a panic was contained: {words}; please report this");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn dropping_the_handle_waits_for_the_thread() {
        let done = Arc::new(AtomicBool::new(false));
        let (release, released) = crossbeam_channel::bounded::<()>(0);
        let seen = Arc::clone(&done);
        let joined = spawn("test-join", move || {
            let _ = released.recv();
            seen.store(true, Ordering::SeqCst);
        })
        .unwrap();
        drop(release);
        drop(joined);
        assert!(done.load(Ordering::SeqCst));
    }

    #[test]
    fn a_panic_is_contained_and_counted() {
        let before = panics_total();
        assert!(contain("test", || panic!("expected by this test")).is_none());
        assert_eq!(contain("test", || 5), Some(5));
        assert!(panics_total() > before);
    }
}
