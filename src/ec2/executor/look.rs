//! What is looked at, and why.

use super::batch::Batch;
use crate::ec2::refusal::Cause;

/// What has been asked for and not been answered yet.
#[derive(Debug)]
pub(super) enum UnderWay {
    Call(Batch),
    Look(Look),
}

/// A question that a look answers.
#[derive(Debug)]
pub(super) enum Look {
    /// Which members of a batch of uncertain fate are still to be acted on?
    Uncertain(Batch, Cause),
    /// Which members of a batch are in a state that forbids the action?
    FindOffenders(Batch),
    /// What state are the offenders in?
    Offenders(Vec<(usize, Box<str>)>),
}

impl Look {
    pub(super) fn members(&self) -> Vec<usize> {
        match self {
            Self::Uncertain(batch, _) | Self::FindOffenders(batch) => batch.members.clone(),
            Self::Offenders(offenders) => offenders.iter().map(|(member, _)| *member).collect(),
        }
    }
}
