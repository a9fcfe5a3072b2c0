//! Decoding of numbers and strings (AMQP 0-9-1 specification, section 4.2.5). Each function takes
//! its value from the front of `bytes`, and returns `None` if they end too early.

pub(super) fn u64(bytes: &mut &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(*bytes.split_off(..8)?.first_chunk()?))
}

pub(super) fn u16(bytes: &mut &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.split_off(..2)?.first_chunk()?))
}

pub(super) fn u32(bytes: &mut &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.split_off(..4)?.first_chunk()?))
}

pub(super) fn short_string<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let size = *bytes.split_off_first()?;
    bytes.split_off(..usize::from(size))
}

/// A long string, or a table, which is delimited in the same way.
pub(super) fn long_string<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let size = u32(bytes)?;
    bytes.split_off(..usize::try_from(size).ok()?)
}
