//! One invocation: trigger in, report out.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use jiff::Timestamp;
use lambda_runtime::Diagnostic;
use serde::Serialize;

use crate::aws::tell::{TO_TELL, Untold, tell};
use crate::aws::{CallError, Clients};
use crate::plan::Notice;
use crate::report::chunks::Chunks;
use crate::report::events::{self, Teller, Told};
use crate::report::response::{RESPONSE_LIMIT_BYTES, Response};
use crate::report::verdict::Unfinished;
use crate::report::{HeldBack, metrics};
use crate::run::run;
use crate::settings::Settings;
use crate::telemetry;
use crate::trigger::{self, TriggerError};

/// What lives as long as the process: settings, clients, and what was told already.
#[derive(Debug)]
pub struct Handler {
    settings: Settings,
    clients: Clients,
    told: Mutex<Told>,
}

/// One invocation, as Lambda hands it over.
#[derive(Debug, Clone, Copy)]
pub struct Invocation<'a> {
    /// The trigger, as JSON.
    pub trigger: &'a str,
    /// Lambda's id of the request; it stands in every line about an instance or the run.
    pub request_id: &'a str,
    /// The function's ARN, whose account is its own.
    pub function_arn: &'a str,
    /// The handler's clock.
    pub now: Timestamp,
    /// When Lambda ends the invocation; the answer comes before.
    pub deadline: Timestamp,
}

/// What an invocation answers.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// What became of a run.
    Run(Response),
    /// The accounts, for whoever divides the work.
    Chunks(Chunks),
}

/// Why an invocation ends in an error.
#[derive(Debug, thiserror::Error)]
pub enum HandlerError {
    /// The trigger is not followed; nothing has been touched.
    #[error("{}", refused(.0))]
    Trigger(#[from] TriggerError),
    /// Something is left that another try, or somebody, may finish; with the run in one line. What was done is in the
    /// log.
    #[error("{}", told(.0, .1))]
    Unfinished(Unfinished, String),
    /// Nobody knows which accounts there are; nothing has been touched.
    #[error("unfinished: the accounts could not be listed: {0}")]
    Accounts(#[from] CallError),
}

impl Handler {
    /// A handler for one deployment.
    #[must_use]
    pub fn new(settings: Settings, clients: Clients) -> Self {
        Self { settings, clients, told: Mutex::default() }
    }

    /// Handles an invocation.
    ///
    /// # Errors
    ///
    /// [`HandlerError`] in one sentence. It makes Lambda try an asynchronous invocation again, so what was refused
    /// for good is no error, and what another try may finish is one.
    pub async fn handle(&self, invocation: Invocation<'_>) -> Result<Answer, HandlerError> {
        let request_id = invocation.request_id;
        let result = self.attempt(invocation).await;
        if let Err(error) = &result {
            tracing::error!(requestId = request_id, error = error.code(), "{error}");
        }
        result
    }

    async fn attempt(
        &self,
        Invocation { trigger, request_id, function_arn, now, deadline }: Invocation<'_>,
    ) -> Result<Answer, HandlerError> {
        let began = Instant::now();
        let time = deadline.duration_since(now).try_into().unwrap_or_default();
        let clock = self.clients.clock(time);
        if let Some(targets) = trigger::chunks(trigger, &self.settings)?
            && let Some(hub) = self.clients.hub()
        {
            let accounts = hub.all(&clock, time / 2).await?;
            tracing::info!(requestId = request_id, accounts = accounts.len(), "accounts listed");
            return Ok(Answer::Chunks(Chunks::new(&accounts, self.settings.regions.len(), targets)));
        }
        let request = trigger::parse(trigger, &self.settings, now)?;
        // The clock's last digits: enough for pauses that keep step with nobody's.
        let seed = u64::from(now.subsec_nanosecond().unsigned_abs());
        let teller = Teller::new(function_arn, &self.settings.function_name, request_id);
        let told = || self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let ahead =
            |notices: Vec<Notice<'_>>| events::of_notices(notices, &request, &self.settings, &teller, &mut told());
        let untold = |untold: Untold| telemetry::log_untold(&untold, request_id);
        let report = run(&self.settings, &self.clients, &request, (time, seed), ahead, untold).await;
        let took = began.elapsed();
        telemetry::log_run(&report, request_id, took);
        telemetry::write_metrics(&metrics::document(&report, &self.settings.function_name, request_id, took, now));
        if self.settings.events {
            let events = events::of_run(&report, &request, &self.settings, &teller, &mut told());
            // Of what is left, the answer needs some too.
            let left = time.saturating_sub(clock.now()) / 3;
            tell(&self.clients, &events, TO_TELL.min(left)).await.into_iter().for_each(untold);
        }
        match report.verdict() {
            Ok(()) => Ok(Answer::Run(Response::new(report, RESPONSE_LIMIT_BYTES))),
            Err(unfinished) => Err(HandlerError::Unfinished(unfinished, report.summary().to_string())),
        }
    }
}

fn refused(error: &TriggerError) -> String {
    match error {
        TriggerError::Stale(stale) => {
            format!("stale-event: {stale} (STOPINATOR_MAX_EVENT_AGE_MINUTES sets how far past), and nothing was done")
        }
        other => format!("bad-trigger: {other}"),
    }
}

fn told(unfinished: &Unfinished, summary: &str) -> String {
    match unfinished {
        Unfinished::TooMany { planned, limit } => format!(
            "too-many: the plan has {planned} actions and STOPINATOR_MAX_ACTIONS is {limit}, so none was taken; raise it \
             if this is meant; {summary}"
        ),
        Unfinished::TooManyIn(HeldBack { account, planned, limit }, others) => format!(
            "too-many: the plan of account {account} has {planned} actions and STOPINATOR_MAX_ACTIONS_PER_ACCOUNT is \
             {limit}, so none was taken there{}; raise it if this is meant; {summary}",
            if *others > 0 { format!(", nor in {others} more accounts") } else { String::new() }
        ),
        Unfinished::Left => format!("unfinished: {summary}"),
    }
}

impl HandlerError {
    /// A stable code: the error's type in Lambda's answer, `error` in the log.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Trigger(TriggerError::Stale(_)) => "stale-event",
            Self::Trigger(_) => "bad-trigger",
            Self::Unfinished(unfinished, _) => unfinished.code(),
            Self::Accounts(_) => Unfinished::Left.code(),
        }
    }
}

impl From<HandlerError> for Diagnostic {
    fn from(error: HandlerError) -> Self {
        Self { error_type: error.code().to_owned(), error_message: error.to_string() }
    }
}
