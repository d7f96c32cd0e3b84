//! Stopinator: the EC2 off-switch that proves its work.
//!
//! Woken by a scheduled rule, it finds the EC2 instances that carry its tag, stops (or starts) the ones that are due,
//! and says for every instance what it did or why it did not.
//!
//! trigger → [request](trigger) → [observe](aws::observe) → [plan](mod@plan) → [execute](aws::execute) →
//! [verify](aws::verify) → [report] → log lines, metrics, response
//!
//! Imports run downwards only. The rooms, top down:
//!
//! | room | what it is for |
//! |---|---|
//! | [`handler`] | one invocation: trigger in, report out |
//! | [`run`](mod@run) | observe, plan, execute, verify |
//! | [`telemetry`] | log lines |
//! | [`aws`] | the only rooms that name the SDK |
//! | [`metrics`](mod@metrics) | the metrics document |
//! | [`report`] | outcomes, counts, response |
//! | [`executor`] | what to send next, and what an answer means for the rest |
//! | [`arrival`] | what a look says of an instance that was accepted |
//! | [`plan`](mod@plan) | one decision for every instance |
//! | [`pace`] | EC2's token buckets, and pauses |
//! | [`refusal`] | what EC2's errors mean |
//! | [`facts`] | what EC2 tells of an instance's last start and stop |
//! | [`schedule`] | what a tag's value means |
//! | [`trigger`] | event or command to request |
//! | [`settings`] | environment to settings |
//! | [`zone`] | a time zone's name |
//! | `meant` | which word was probably meant |
//! | [`instance`] | instance, action, state, outcome, reason |
//!
//! From [`metrics`](mod@metrics) down everything is pure (no clock, no I/O, no AWS types) and builds without the `lambda` feature.

pub mod arrival;
#[cfg(feature = "lambda")]
pub mod aws;
pub mod executor;
pub mod facts;
#[cfg(feature = "lambda")]
pub mod handler;
pub mod instance;
mod meant;
pub mod metrics;
pub mod pace;
pub mod plan;
pub mod refusal;
pub mod report;
#[cfg(feature = "lambda")]
pub mod run;
pub mod schedule;
pub mod settings;
#[cfg(feature = "lambda")]
pub mod telemetry;
pub mod trigger;
pub mod zone;
