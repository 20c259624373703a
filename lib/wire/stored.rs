//! Frames as bytes for files: the delta form of [`frame`](super::frame), in which a file is what a
//! stream is elsewhere.

use protobuf::Message;

use super::frame::{FrameDecoder, FrameEncoder, WireError};
use super::{MESSAGE_BYTES_MAX, proto};
use crate::metric::Frame;

/// Appends the next frame of the encoder's stream. Nothing is appended when it fails.
///
/// # Errors
/// As [`FrameEncoder::encode`]; also when the frame is larger than any message may be.
pub fn encode_frame(
    encoder: &mut FrameEncoder,
    frame: &Frame,
    out: &mut Vec<u8>,
) -> Result<(), WireError> {
    let encoded = encoder.encode(frame)?;
    let bytes = encoded.compute_size();
    if bytes > MESSAGE_BYTES_MAX as u64 {
        return Err(WireError(format!("a frame of {bytes} bytes: split it")));
    }
    // Only a sink that fails could fail here.
    encoded.write_to_vec(out).map_err(|error| WireError(error.to_string()))
}

/// Reads the next frame of the decoder's stream.
///
/// # Errors
/// As [`FrameDecoder::decode`]; also when the bytes are no frame.
pub fn decode_frame(decoder: &mut FrameDecoder, bytes: &[u8]) -> Result<Frame, WireError> {
    let frame = proto::Frame::parse_from_bytes(bytes);
    decoder.decode(frame.map_err(|error| WireError(format!("not a frame: {error}")))?)
}
