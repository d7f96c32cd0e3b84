//! What all calls have in common: how many are under way, when they are due, and what their errors say.

use std::error::Error;
use std::fmt::Write;
use std::time::Duration;

use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};

use super::clock::Clock;
use crate::ec2::pace::Bucket;
use crate::quote;
use crate::reach::is_denial;

/// How many calls are under way at any moment, whatever there is to do: each is a socket, of which Lambda lets a function
/// have 1,024, and a page in memory.
///
/// Source: <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
pub const CALLS_AT_ONCE: usize = 64;

/// Takes a token, and tells when there is one.
pub(super) fn take_one(bucket: &mut Bucket, clock: &Clock) -> Duration {
    let ready = bucket.has_at(1).max(clock.now());
    bucket.take(ready, 1);
    ready
}

/// A call that AWS did not carry out, as far as this side knows.
#[derive(Debug, thiserror::Error)]
#[error("{call}: {said}")]
pub struct CallError {
    /// The API action, such as `StopInstances`.
    pub call: &'static str,
    /// AWS's code and message, or what went wrong on the way.
    pub said: String,
    /// Whether it comes again until somebody changes something: nobody may look there.
    pub is_denial: bool,
    /// Whether AWS said it; otherwise nobody answered.
    pub is_answer: bool,
    /// The SDK's error, where it was the SDK's.
    #[source]
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

impl CallError {
    pub(super) fn new<E>(call: &'static str, error: SdkError<E>) -> Self
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        let said = match (error.code(), error.message()) {
            (Some(code), Some(message)) => format!("{code}: {message}"),
            (Some(code), None) => code.to_owned(),
            (None, _) => chain(&error),
        };
        let said = quote::sentence(&said);
        Self {
            call,
            said,
            is_denial: error.code().is_some_and(is_denial),
            is_answer: error.code().is_some(),
            source: Some(error.into()),
        }
    }

    /// One that ended before AWS said anything.
    #[must_use]
    pub fn without_answer(call: &'static str, said: &str) -> Self {
        Self { call, said: said.to_owned(), is_denial: false, is_answer: false, source: None }
    }
}

/// An error and its causes in one line.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a String cannot fail.
        let _ = write!(line, ": {error}");
        cause = error.source();
    }
    line
}
