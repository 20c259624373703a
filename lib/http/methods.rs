//! Which methods each path takes: the gate and the routes say the same.

/// The methods of a path, as `Allow` lists them.
pub(crate) fn allowed(path: &str) -> &'static str {
    match path {
        // It has no answer that could be left without its body.
        "/api/live" => "GET",
        _ if path.strip_prefix("/api/hosts/").is_some_and(|host| !host.is_empty()) => {
            "GET, HEAD, DELETE"
        }
        _ => "GET, HEAD",
    }
}

/// Whether a method only reads (RFC 9110 section 9.2.1).
pub(crate) fn is_safe(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS")
}
