//! EC2's pace: token buckets for calls, and pauses for a caller that was throttled all the same.
//!
//! The buckets belong to an account and a region, and consoles, tools and this function share them. Instants are
//! durations since the run began.
//!
//! Source: <https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html>

use std::time::Duration;

use fastrand::Rng;

use crate::action::Action;

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(64);

/// The buckets of one action that changes instances: calls, and the instances that they name.
#[derive(Debug)]
pub struct Buckets {
    requests: Bucket,
    resources: Bucket,
}

/// One token bucket. It counts what this process takes; others draw from EC2's too.
#[derive(Debug)]
pub struct Bucket {
    size: f64,
    tokens_a_second: f64,
    tokens: f64,
    filled_at: Duration,
}

impl Buckets {
    /// Full ones.
    #[must_use]
    pub fn of(action: Action) -> Self {
        let (requests, resources) = match action {
            Action::Stop => ((50.0, 5.0), (1000.0, 20.0)),
            Action::Start => ((5.0, 2.0), (1000.0, 2.0)),
        };
        Self { requests: Bucket::full(requests), resources: Bucket::full(resources) }
    }

    /// The first instant, from `now`, for a call that names so many instances.
    #[must_use]
    pub fn ready_at(&self, now: Duration, instances: usize) -> Duration {
        now.max(self.requests.has_at(1)).max(self.resources.has_at(instances))
    }

    /// Takes the tokens of a call.
    pub fn take(&mut self, now: Duration, instances: usize) {
        self.requests.take(now, 1);
        self.resources.take(now, instances);
    }

    /// How many instances a call may name at an instant, if none is sent before.
    #[must_use]
    pub fn instances_at(&self, then: Duration) -> usize {
        self.resources.at(then)
    }

    /// A refused call has acted on no instance.
    pub fn give_back(&mut self, instances: usize) {
        self.resources.tokens = (self.resources.tokens + count(instances)).min(self.resources.size);
    }
}

impl Bucket {
    /// The full bucket of `DescribeInstances` calls, with pages or by id.
    #[must_use]
    pub fn of_describe_instances() -> Self {
        Self::full((100.0, 20.0))
    }

    /// The full bucket of all calls of RDS.
    ///
    /// Source: <https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-api-throttling.html>
    #[must_use]
    pub fn of_rds() -> Self {
        Self::full((300.0, 12.0))
    }

    /// The bucket of `AssumeRole` calls, which the hub's whole account has 600 of a second: not more than 100 in any
    /// second, besides the SDK's own tries of what was throttled.
    ///
    /// Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>
    #[must_use]
    pub fn of_assume_role() -> Self {
        Self::full((10.0, 85.0))
    }

    fn full((size, tokens_a_second): (f64, f64)) -> Self {
        Self { size, tokens_a_second, tokens: size, filled_at: Duration::ZERO }
    }

    fn level(&self, at: Duration) -> f64 {
        let since = at.saturating_sub(self.filled_at).as_secs_f64();
        (self.tokens + since * self.tokens_a_second).min(self.size)
    }

    /// How many whole tokens there will be.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1000")]
    fn at(&self, at: Duration) -> usize {
        self.level(at).max(0.0) as usize
    }

    /// When there will be so many tokens, if nobody takes any.
    #[must_use]
    pub fn has_at(&self, wanted: usize) -> Duration {
        let lacking = (count(wanted) - self.tokens).max(0.0);
        // A millisecond more than the quotient, which is rounded.
        let wait = Duration::from_secs_f64(lacking / self.tokens_a_second);
        if wait.is_zero() { self.filled_at } else { self.filled_at + wait + Duration::from_millis(1) }
    }

    /// Takes tokens, whether there are so many or not.
    pub fn take(&mut self, now: Duration, wanted: usize) {
        self.tokens = self.level(now) - count(wanted);
        self.filled_at = self.filled_at.max(now);
    }
}

/// At most 1000, so exact.
#[expect(clippy::cast_precision_loss, reason = "0 to 1000")]
fn count(instances: usize) -> f64 {
    instances as f64
}

/// Pauses of 1, 2, 4, … seconds, each a fifth shorter to a fifth longer, so that nobody's tries keep step.
#[derive(Debug)]
pub struct Pause {
    next: Duration,
    until: Duration,
    random: Rng,
}

impl Pause {
    const FIRST: Duration = Duration::from_secs(1);

    /// No pause yet.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { next: Self::FIRST, until: Duration::ZERO, random: Rng::with_seed(seed) }
    }

    /// When the pause is over.
    #[must_use]
    pub fn until(&self) -> Duration {
        self.until
    }

    /// Begins the next pause, twice as long as the one before.
    pub fn lengthen(&mut self, now: Duration) {
        self.until = now + self.next * self.random.u32(80..=120) / 100;
        self.next = (self.next * 2).min(LONGEST_PAUSE);
    }

    /// Something went well: no pause, and the next one is short.
    pub fn reset(&mut self) {
        self.next = Self::FIRST;
        self.until = Duration::ZERO;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_bucket_empties_and_fills() {
        let mut buckets = Buckets::of(Action::Stop);
        assert_eq!(buckets.ready_at(SECOND, 1000), SECOND);
        buckets.take(SECOND, 1000);
        assert_eq!(buckets.instances_at(SECOND), 0);
        assert_eq!(buckets.instances_at(11 * SECOND), 200, "20 a second");
        assert_eq!(buckets.instances_at(1000 * SECOND), 1000, "never more than it holds");
        let half = buckets.ready_at(SECOND, 500).as_secs_f64();
        assert!((26.0..26.1).contains(&half), "{half}");
        buckets.give_back(1000);
        assert_eq!(buckets.ready_at(2 * SECOND, 1000), 2 * SECOND);
        buckets.give_back(1000);
        assert_eq!(buckets.instances_at(SECOND), 1000, "never more than it holds");
    }

    #[test]
    fn calls_have_a_bucket_of_their_own() {
        for (action, calls, next) in [(Action::Stop, 50, 0.2), (Action::Start, 5, 0.5)] {
            let mut buckets = Buckets::of(action);
            for _ in 0..calls {
                assert_eq!(buckets.ready_at(Duration::ZERO, 1), Duration::ZERO);
                buckets.take(Duration::ZERO, 1);
            }
            let ready = buckets.ready_at(Duration::ZERO, 1).as_secs_f64();
            assert!((next..next + 0.01).contains(&ready), "{action}: {ready}");
        }
        let mut describes = Bucket::of_describe_instances();
        (0..100).for_each(|_| describes.take(Duration::ZERO, 1));
        let ready = describes.has_at(1).as_secs_f64();
        assert!((0.05..0.06).contains(&ready), "{ready}");
    }

    #[test]
    fn pauses_double_and_spread() {
        let mut pause = Pause::new(7);
        for seconds in [1, 2, 4, 8, 16, 32, 64, 64] {
            pause.lengthen(Duration::ZERO);
            let (least, most) = (seconds * 800, seconds * 1200);
            assert!((least..=most).contains(&pause.until.as_millis()), "{:?} for {seconds}", pause.until);
        }
        pause.reset();
        assert_eq!((pause.until, pause.next), (Duration::ZERO, Pause::FIRST));
    }
}
