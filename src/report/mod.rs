//! What became of a plan: rows, sums, what could not be looked at, and whether the breaker held.

pub mod metrics;
pub mod response;
mod rows;
pub mod verdict;

pub use rows::{Counts, Report, Row, Unobserved};
