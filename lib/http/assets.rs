//! The page: every file of `static/`, embedded when the program was built (see `build.rs`), each
//! compressed once, then and not at run time.

use super::body::Body;

// `ASSETS`, sorted by path.
include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// A file a browser can ask for.
#[derive(Debug)]
pub(crate) struct Asset {
    /// Below `/static/`.
    pub(crate) path: &'static str,
    pub(crate) content_type: &'static str,
    /// Hash of the content, in quotes as HTTP has it.
    pub(crate) etag: &'static str,
    pub(crate) bytes: &'static [u8],
    /// The same, when that is smaller.
    pub(crate) gzip: Option<&'static [u8]>,
}

/// What stands in `index.html` where the snapshot goes.
pub(crate) const SNAPSHOT_PLACEHOLDER: &str =
    "<script type=\"application/json\" id=\"snapshot\">null</script>";

/// How much of the placeholder comes before its `null`.
const BEFORE_NULL: usize = SNAPSHOT_PLACEHOLDER.len() - "null</script>".len();

/// The file at this path below `/static/`.
pub(crate) fn find(path: &str) -> Option<&'static Asset> {
    let at = ASSETS.binary_search_by_key(&path, |asset| asset.path).ok()?;
    Some(&ASSETS[at])
}

/// A page with the snapshot in its place; as it is when it has no place for one.
pub(crate) fn with_snapshot(page: &[u8], snapshot: &Body) -> Body {
    let placeholder = SNAPSHOT_PLACEHOLDER.as_bytes();
    let found = page.windows(placeholder.len()).position(|part| part == placeholder);
    let Some(at) = found.map(|at| at + BEFORE_NULL) else { return page.to_vec().into() };
    let mut whole = Body::default();
    whole.append(&page[..at]);
    for piece in snapshot.pieces() {
        // Nothing in a host's name or label can end the script element.
        for (number, part) in piece.split(|byte| *byte == b'<').enumerate() {
            if number > 0 {
                whole.append(b"\\u003c");
            }
            whole.append(part);
        }
    }
    whole.append(&page[at + "null".len()..]);
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_snapshot_cannot_leave_its_element() {
        let snapshot = Body::from(br#"{"a":"</script><script>x"}"#.to_vec());
        let page = format!("<body>{SNAPSHOT_PLACEHOLDER}</body>");
        let whole = with_snapshot(page.as_bytes(), &snapshot);
        let whole = String::from_utf8(whole.to_vec()).unwrap();
        let (_, rest) = whole.split_once("id=\"snapshot\">").unwrap();
        let (json, after) = rest.split_once("</script>").unwrap();
        assert_eq!(after, "</body>");
        let value: serde_json::Value = serde_json::from_str(json).unwrap();
        assert_eq!(value["a"], "</script><script>x");
        assert_eq!(with_snapshot(b"no place", &snapshot).to_vec(), b"no place");
    }

    #[test]
    fn embedded_files_are_sorted_and_none_is_private() {
        assert!(ASSETS.windows(2).all(|pair| pair[0].path < pair[1].path));
        for asset in ASSETS {
            assert!(!asset.path.contains("package") && !asset.path.contains("node_modules"));
            assert!(asset.path.split('/').all(|part| !part.starts_with('.')), "{}", asset.path);
            assert!(asset.gzip.is_none_or(|gzip| gzip.len() < asset.bytes.len()));
            assert!(asset.etag.starts_with('"') && asset.etag.ends_with('"'));
            assert_eq!(find(asset.path).unwrap().etag, asset.etag);
        }
        assert!(find("package.json").is_none() && find("../Cargo.toml").is_none());
    }
}
