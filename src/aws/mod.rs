//! The only rooms that name the SDK: its clients, and what is asked of EC2 and RDS.

mod body;
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
pub mod verify;

pub use clients::{CallError, Clients, Ec2, Rds};
