//! The ground floor: no SIP here. Time, generational slab, keyed hash table, timer wheel, ids, hashes, text.

pub mod hash;
pub mod text;
mod time;

pub use time::Time;
