//! What became of a plan: rows, sums, what could not be looked at, and whether a breaker held.

mod breaker;
pub mod chunks;
pub mod events;
pub mod message;
pub mod metrics;
pub mod response;
mod rows;
pub mod verdict;

pub use breaker::is_open;
pub use rows::{Counts, HeldBack, Report, Row, Unobserved};
