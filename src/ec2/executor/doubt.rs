//! Is one instance to blame, or does nothing pass at all? Single ones tell.
//!
//! EC2 refuses a call as a whole, often without a name. Where nothing has passed yet, a refusal of permission may be
//! meant for one of a thousand or for the role; and a fault that outlives some tries for one or for EC2. Halving would
//! take as many calls as there are instances to learn that nothing passes, and to give up after a few halves costs
//! everybody for two that are denied. So a few are tried alone, spread over all.

use std::collections::VecDeque;

use super::batch::{Batch, Verdict};

/// How the detail of those begins that are given up because of others that were tried alone: EC2 said nothing of them.
pub const UNTRIED: &str = "not tried alone";
/// How many are refused alone before nothing is taken to pass. Where half of all are denied, all of so many are in one
/// case of a thousand; the next run draws others.
pub(super) const PROBES: usize = 10;
/// How many refusals of permission that name an instance are believed one by one while nothing has passed.
pub(super) const NAMED_DENIALS: usize = 25;
/// From one probe to the next, as a part of all: of any row of such steps, none lie close together.
const GOLDEN: f64 = 0.618_033_988_749_894_9;

/// An open doubt.
#[derive(Debug)]
pub(super) struct Doubt {
    /// What becomes of all if nothing passes.
    pub(super) verdict: Verdict,
    /// All that wait; the first batch is the one that was refused.
    pub(super) rest: VecDeque<Batch>,
    /// How many were tried alone and refused.
    pub(super) refused: usize,
    /// Where the last probe was drawn, as a part of the rest.
    at: f64,
}

impl Doubt {
    /// A doubt about everything that waits; `start`, from 0 to 1, says where the first probe is drawn.
    pub(super) fn new(verdict: Verdict, rest: VecDeque<Batch>, start: f64) -> Self {
        Self { verdict, rest, refused: 0, at: start }
    }

    /// The next one to be tried alone, which leaves the rest; none where enough were refused, or nobody is left.
    pub(super) fn draw(&mut self) -> Option<Batch> {
        let left: usize = self.rest.iter().map(|batch| batch.members.len()).sum();
        if self.refused >= PROBES || left == 0 {
            return None;
        }
        self.at = (self.at + GOLDEN).fract();
        let mut place = part_of(left, self.at);
        for batch in &mut self.rest {
            if place < batch.members.len() {
                let member = batch.members.remove(place);
                return Some(Batch { refused: None, said: None, ..batch.with(vec![member]) });
            }
            place -= batch.members.len();
        }
        None
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "some thousands"
)]
pub(super) fn part_of(count: usize, part: f64) -> usize {
    ((count as f64 * part) as usize).min(count - 1)
}
