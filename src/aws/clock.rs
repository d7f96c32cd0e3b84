//! The time that a run has, on the SDK's own clock: what a test drives there, it drives here.

use std::time::{Duration, SystemTime};

use aws_sdk_ec2::config::{AsyncSleep, SharedAsyncSleep};
use aws_smithy_async::time::SharedTimeSource;
use futures_util::future::{Either, select};

/// Instants of a run, as durations since it began.
#[derive(Debug, Clone)]
pub struct Clock {
    began: SystemTime,
    time: SharedTimeSource,
    sleep: SharedAsyncSleep,
    deadline: Duration,
}

impl Clock {
    /// A clock that starts now, for a run that must be over `deadline` from now.
    #[must_use]
    pub fn start(time: SharedTimeSource, sleep: SharedAsyncSleep, deadline: Duration) -> Self {
        Self { began: time.now(), time, sleep, deadline }
    }

    /// The present instant.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.time.now().duration_since(self.began).unwrap_or_default()
    }

    /// When the run must be over.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        self.deadline
    }

    /// Waits until an instant.
    pub async fn wait_until(&self, then: Duration) {
        self.sleep.sleep(then.saturating_sub(self.now())).await;
    }

    /// What `work` gives, or nothing where the deadline comes first.
    pub async fn before_deadline<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.before(self.deadline, work).await
    }

    /// What `work` gives, or nothing where `then` comes first.
    pub async fn before<T>(&self, then: Duration, work: impl Future<Output = T>) -> Option<T> {
        let over = std::pin::pin!(self.wait_until(then));
        match select(std::pin::pin!(work), over).await {
            Either::Left((done, _)) => Some(done),
            Either::Right(_) => None,
        }
    }
}
