//! Where a program may listen: one policy for every listener.

use std::net::SocketAddr;

/// Checks an address before it is listened on. Loopback is always allowed. Anything else can be
/// reached by others, and until there are certificates and passwords only `insecure` allows that.
///
/// # Errors
/// Words that say what was refused and what to do.
pub fn check_listen(address: SocketAddr, insecure: bool) -> Result<(), String> {
    if insecure || address.ip().to_canonical().is_loopback() {
        return Ok(());
    }
    Err(format!(
        "{address} can be reached from other machines, and nothing protects it yet: listen on \
         127.0.0.1, or accept that anyone there can read and write by adding --insecure"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_free_and_the_world_needs_a_word() {
        for home in ["127.0.0.1:0", "127.9.9.9:1", "[::1]:50051", "[::ffff:127.0.0.1]:1"] {
            assert_eq!(check_listen(home.parse().unwrap(), false), Ok(()), "{home}");
        }
        for open in ["0.0.0.0:50051", "[::]:50051", "192.0.2.1:1", "[::ffff:192.0.2.1]:1"] {
            let address = open.parse().unwrap();
            assert!(check_listen(address, false).unwrap_err().contains("--insecure"), "{open}");
            assert_eq!(check_listen(address, true), Ok(()), "{open}");
        }
    }
}
