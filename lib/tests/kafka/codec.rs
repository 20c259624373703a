//! Protocol version 0, the broker's side, as far as the scripted broker needs it. Big-endian;
//! strings have 16 bits of length, bytes and arrays 32.

/// Reads a request.
#[derive(Debug)]
pub(crate) struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (bytes, rest) = self.rest.split_at(count);
        self.rest = rest;
        bytes
    }

    pub(crate) fn i8(&mut self) -> i8 {
        self.bytes(1)[0] as i8
    }

    pub(crate) fn i16(&mut self) -> i16 {
        i16::from_be_bytes(self.bytes(2).try_into().unwrap())
    }

    pub(crate) fn i32(&mut self) -> i32 {
        i32::from_be_bytes(self.bytes(4).try_into().unwrap())
    }

    pub(crate) fn i64(&mut self) -> i64 {
        i64::from_be_bytes(self.bytes(8).try_into().unwrap())
    }

    pub(crate) fn string(&mut self) -> String {
        let length = usize::try_from(self.i16()).unwrap_or(0);
        String::from_utf8(self.bytes(length).to_vec()).unwrap()
    }

    /// Bytes that are there; -1 stands for none, which a topic takes for a deletion.
    pub(crate) fn sized(&mut self) -> &'a [u8] {
        let length = usize::try_from(self.i32()).expect("bytes, maybe empty, never none");
        self.bytes(length)
    }
}

/// Writes an answer.
#[derive(Debug, Default)]
pub(crate) struct Output(pub(crate) Vec<u8>);

impl Output {
    pub(crate) fn i8(mut self, number: i8) -> Self {
        self.0.push(number as u8);
        self
    }

    pub(crate) fn i16(mut self, number: i16) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    pub(crate) fn i32(mut self, number: i32) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    pub(crate) fn i64(mut self, number: i64) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    pub(crate) fn string(self, text: &str) -> Self {
        let mut output = self.i16(text.len() as i16);
        output.0.extend_from_slice(text.as_bytes());
        output
    }

    pub(crate) fn sized(self, bytes: &[u8]) -> Self {
        let mut output = self.i32(bytes.len() as i32);
        output.0.extend_from_slice(bytes);
        output
    }
}

/// One stored message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) attributes: i8,
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
}

impl Message {
    /// With offset, size and CRC.
    pub(crate) fn encode(&self, offset: u64) -> Vec<u8> {
        let body = Output::default().i8(0).i8(self.attributes).sized(&self.key).sized(&self.value);
        let crc = crc32fast::hash(&body.0) as i32;
        let message = Output::default().i32(crc).0;
        let message = [message, body.0].concat();
        Output::default().i64(offset as i64).sized(&message).0
    }

    /// The messages of a set that a producer sent.
    pub(crate) fn decode_set(set: &[u8]) -> Vec<Self> {
        let mut input = Input::new(set);
        let mut messages = Vec::new();
        while !input.is_empty() {
            let _offset = input.i64();
            let mut message = Input::new(input.sized());
            let crc = message.i32() as u32;
            assert_eq!(crc, crc32fast::hash(message.rest), "what we send is sound");
            assert_eq!(message.i8(), 0, "magic");
            let attributes = message.i8();
            let (key, value) = (message.sized().to_vec(), message.sized().to_vec());
            messages.push(Self { attributes, key, value });
        }
        messages
    }
}
