//! Which partition a host's records go to.

/// CRC-32 (IEEE 802.3) of the key, modulo the number of partitions: a formula that any other
/// producer or consumer can compute.
#[must_use]
pub fn partition_of(key: &[u8], partitions: u32) -> u32 {
    crc32fast::hash(key) % partitions.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_crc_that_everybody_computes() {
        // The check value of CRC-32/ISO-HDLC: crc32("123456789") = 0xcbf43926.
        assert_eq!(partition_of(b"123456789", u32::MAX), 0xcbf4_3926);
        assert_eq!(partition_of(b"123456789", 4), 2);
        assert_eq!(partition_of(b"anything", 0), 0);
    }
}
