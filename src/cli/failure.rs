//! What ends a command early, and the exit codes.

use std::process::ExitCode;

/// How a command ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Done,
    /// Something is wrong in what was looked at.
    Wrong,
    /// The command line is wrong; clap's own.
    Usage,
    /// An account or a region did not answer; what was found is shown.
    #[cfg(feature = "cli")]
    Incomplete,
    /// Something would be stopped or started; told only where somebody asks for it.
    #[cfg(feature = "cli")]
    Due,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Wrong => 1,
            Exit::Usage => 2,
            #[cfg(feature = "cli")]
            Exit::Incomplete => 3,
            #[cfg(feature = "cli")]
            Exit::Due => 4,
        })
    }
}

/// Why there is nothing to show: one sentence what, and what to do about it.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) text: String,
}

impl Failure {
    pub(crate) fn usage(text: String) -> Self {
        Self { exit: Exit::Usage, text }
    }

    pub(crate) fn wrong(text: String) -> Self {
        Self { exit: Exit::Wrong, text }
    }

    #[cfg(feature = "cli")]
    pub(crate) fn incomplete(text: String) -> Self {
        Self { exit: Exit::Incomplete, text }
    }
}
