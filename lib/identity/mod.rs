//! Who may speak as whom. For now: what a host may be called, and where a program may listen.

use crate::metric::HostName;

mod listen;

pub use listen::check_listen;

/// Longest name of a host (a DNS name without its final dot, RFC 1035 section 2.3.4).
pub const HOST_NAME_LEN_MAX: usize = 253;

/// Checks the name of a host, lower-casing it first.
///
/// # Errors
/// Words that quote the name and say what was expected.
pub fn host_name(text: &str) -> Result<HostName, String> {
    let name = text.to_ascii_lowercase();
    let allowed =
        |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-');
    if name.is_empty() || name.len() > HOST_NAME_LEN_MAX || !name.bytes().all(allowed) {
        let shown: String = text.chars().take(64).collect();
        return Err(format!(
            "'{}' cannot name a host: expected 1 to {HOST_NAME_LEN_MAX} characters of a-z, 0-9, \
             '.', '_' and '-'",
            shown.escape_debug()
        ));
    }
    Ok(name.into())
}

/// The name the kernel has for this machine (`uname -n`), not yet checked.
#[must_use]
pub fn nodename() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_cased_and_checked() {
        assert_eq!(host_name("Web-1.Example_x").as_deref(), Ok("web-1.example_x"));
        for bad in ["", "a b", "a/b", "a\n", "ä", "{}", &"x".repeat(254)] {
            assert!(host_name(bad).is_err(), "{bad}");
        }
        assert!(host_name(&"x".repeat(253)).is_ok());
    }
}
