//! A part: the records of one commit, one behind the other, each behind its length in 32 bits, and a check sum of all of
//! them at the end.

use strowger_core::door::{Change, RecordError};

/// Bytes of the check sum.
const SUM: usize = 8;
/// Bytes of a length.
pub(super) const LENGTH: usize = 4;

/// Why a part cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PartError {
    /// It is not what was written.
    Broken,
    /// A later version of this program wrote it.
    Later(u8),
}

/// Begins a part in a buffer.
pub(super) fn begin(part: &mut Vec<u8>) {
    part.clear();
}

/// Adds a record; how many bytes it took.
pub(super) fn push(part: &mut Vec<u8>, change: &Change) -> usize {
    let start = part.len();
    part.extend_from_slice(&[0; LENGTH]);
    change.write_record(part);
    let took = part.len() - start;
    if let Some(length) = part.get_mut(start..start + LENGTH) {
        length.copy_from_slice(&((took - LENGTH) as u32).to_le_bytes());
    }
    took
}

/// Ends a part.
pub(super) fn seal(part: &mut Vec<u8>) {
    let sum = sum(part);
    part.extend_from_slice(&sum.to_le_bytes());
}

/// Reads a part: each change with the bytes it takes.
pub(super) fn read(part: &[u8], mut each: impl FnMut(Change, usize)) -> Result<(), PartError> {
    let (records, stored) = part.split_last_chunk::<SUM>().ok_or(PartError::Broken)?;
    if sum(records) != u64::from_le_bytes(*stored) {
        return Err(PartError::Broken);
    }
    let mut rest = records;
    while !rest.is_empty() {
        let (length, behind) = rest.split_first_chunk::<LENGTH>().ok_or(PartError::Broken)?;
        let length = u32::from_le_bytes(*length) as usize;
        let (record, behind) = behind.split_at_checked(length).ok_or(PartError::Broken)?;
        let change = Change::from_record(record).map_err(|error| match error {
            RecordError::Version(version) => PartError::Later(version),
            RecordError::Broken => PartError::Broken,
        })?;
        each(change, LENGTH + length);
        rest = behind;
    }
    Ok(())
}

/// Not against anybody, but against bits that fell over.
fn sum(bytes: &[u8]) -> u64 {
    const K: u64 = 0x9e37_79b9_7f4a_7c15;
    let (words, rest) = bytes.as_chunks::<8>();
    let fold = |sum: u64, word: u64| (sum.rotate_left(29) ^ word).wrapping_mul(K);
    let sum = words.iter().fold(bytes.len() as u64, |sum, word| fold(sum, u64::from_le_bytes(*word)));
    let sum = rest.iter().fold(sum, |sum, byte| fold(sum, u64::from(*byte)));
    sum ^ sum >> 29
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part() -> Vec<u8> {
        let mut part = Vec::new();
        push(&mut part, &Change::RemoveMessage { id: 3 });
        push(&mut part, &Change::RemoveSubscription { id: 4 });
        seal(&mut part);
        part
    }

    #[test]
    fn a_part_is_read_back_and_any_bit_that_fell_over_is_found() {
        let good = part();
        let mut changes = Vec::new();
        assert_eq!(read(&good, |change, _| changes.push(change)), Ok(()));
        assert_eq!(changes, [Change::RemoveMessage { id: 3 }, Change::RemoveSubscription { id: 4 }]);
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(&bad, |_, _| {}), Err(PartError::Broken), "bit {bit}");
        }
        for length in 0..good.len() {
            assert_eq!(read(&good[..length], |_, _| {}), Err(PartError::Broken));
        }
    }

    #[test]
    fn a_record_of_a_later_version_says_so() {
        let mut later = Vec::new();
        push(&mut later, &Change::RemoveMessage { id: 3 });
        later[LENGTH] = 9;
        seal(&mut later);
        assert_eq!(read(&later, |_, _| {}), Err(PartError::Later(9)));
    }
}
