//! EC2, without a call: what it tells, what its errors mean, its pace, and what to send next.

pub mod arrival;
pub mod executor;
pub mod facts;
pub mod pace;
pub mod refusal;
pub mod trim;
