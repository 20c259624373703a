//! Compression of what is made anew for each viewer. Files of the page are compressed once, when
//! the program is built.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::body::Body;

/// Answers smaller than this fit into a few packets either way.
pub(crate) const GZIP_BYTES_MIN: usize = 32 * 1024;

/// Compresses while it is written to; what has become of it can be taken out at any time.
pub(crate) type Encoder = GzEncoder<Vec<u8>>;

/// One that is fast: a third of the time of the usual level, for a tenth more bytes.
pub(crate) fn encoder() -> Encoder {
    GzEncoder::new(Vec::new(), Compression::fast())
}

/// A whole document, compressed.
///
/// # Errors
/// None of memory's: only what the encoder itself may refuse, which it does not.
pub(crate) fn compressed(whole: &Body) -> io::Result<Body> {
    let mut encoder = GzEncoder::new(Body::default(), Compression::fast());
    for piece in whole.pieces() {
        encoder.write_all(piece)?;
    }
    encoder.finish()
}

/// Whether gzip is among the encodings, and not ruled out with `q=0`.
pub(crate) fn is_accepted(accept_encoding: Option<&str>) -> bool {
    accept_encoding.is_some_and(|header| {
        header.split(',').any(|item| {
            let (name, parameters) = item.split_once(';').unwrap_or((item, ""));
            let quality = parameters.trim().strip_prefix("q=").map(str::parse);
            name.trim().eq_ignore_ascii_case("gzip") && !matches!(quality, Some(Ok(0.0_f64)))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn what_was_compressed_comes_back() {
        let whole: Vec<u8> = (0..300_000_u32).map(|n| (n / 7 % 251) as u8).collect();
        let small = compressed(&whole.clone().into()).unwrap();
        assert!(small.len() < whole.len() / 10, "{}", small.len());
        let mut again = Vec::new();
        flate2::read::GzDecoder::new(small.reader()).read_to_end(&mut again).unwrap();
        assert_eq!(again, whole);
    }

    #[test]
    fn who_accepts_it() {
        for header in ["gzip", "br, GZIP", "gzip;q=0.5", "deflate, gzip ; q=1"] {
            assert!(is_accepted(Some(header)), "{header}");
        }
        for header in ["", "br", "gzip;q=0", "gzip; q=0.0", "x-gzip", "identity"] {
            assert!(!is_accepted(Some(header)), "{header}");
        }
        assert!(!is_accepted(None));
    }
}
