//! Frames to and from the delta form.
