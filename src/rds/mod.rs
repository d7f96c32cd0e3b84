//! RDS, without a call: what it tells, what its errors mean, and what to send next.

pub mod arrival;
pub mod executor;
pub mod facts;
pub mod history;
pub mod refusal;
