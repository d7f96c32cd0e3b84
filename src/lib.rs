//! Stopinator: the EC2 off-switch that proves its work.
//!
//! Woken by a scheduled rule, it finds the EC2 instances that carry its tag, stops (or starts) the ones that are due,
//! and says for every instance what it did or why it did not.
//!
//! trigger → [request] → [enter](aws::accounts) → [observe](aws::observe) → [plan](mod@plan) → [execute](aws::execute) →
//! [verify](aws::verify) → [report] → log lines, metrics, response
//!
//! Imports run downwards only. The rooms, top down, are listed in `docs/design.md`. From [`report`] down everything is
//! pure (no clock, no I/O, no AWS types) and builds without the features `aws` and `lambda`.

pub mod action;
#[cfg(feature = "aws")]
pub mod aws;
pub mod ec2;
#[cfg(feature = "lambda")]
pub mod handler;
pub mod meant;
pub mod organization;
pub mod place;
pub mod plan;
mod quote;
pub mod rds;
pub mod reach;
pub mod reason;
pub mod report;
pub mod request;
pub mod resource;
#[cfg(feature = "aws")]
pub mod run;
pub mod schedule;
pub mod settings;
pub mod settled;
#[cfg(feature = "lambda")]
pub mod telemetry;
#[cfg(test)]
mod testing;
pub mod trigger;
pub mod week;
pub mod zone;
