//! The ground floor: no SIP here. Time, generational slab, keyed hash table, timer wheel, ids, hashes, text.

mod addr;
pub mod hash;
pub mod ids;
mod sip;
pub mod slab;
pub mod table;
pub mod text;
mod time;
pub mod wheel;

pub(crate) use addr::{ADDR_BYTES, Addr, addr_number, read_addr};
pub use ids::{IdKind, IdText, Ids};
pub use slab::{Key, Slab};
pub use table::{Fold, HashKey, Index};
pub use time::Time;
pub use wheel::{TimerKey, Wheel};
