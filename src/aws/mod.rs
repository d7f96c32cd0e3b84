//! The only rooms that name the SDK: its clients, and what is asked of EC2, RDS, STS and Organizations.

pub mod accounts;
mod body;
mod call;
mod clients;
pub mod clock;
pub mod execute;
#[cfg(feature = "cli")]
pub mod hold;
pub mod observe;
#[cfg(feature = "cli")]
pub mod profiles;
pub mod rds;
mod tags;
pub mod tell;
pub mod verify;

pub use call::{CALLS_AT_ONCE, CallError};
pub use clients::{Clients, Ec2, Rds};
