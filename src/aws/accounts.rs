//! The accounts of a hub: which there are, and how they are entered. What is learned is kept as long as the process lives.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_sdk_ec2::config::Credentials;
use aws_sdk_organizations::types::{Account, AccountState};
use aws_smithy_async::time::SharedTimeSource;
use futures_util::stream::{self, StreamExt};
use tokio::sync::Semaphore;

use super::call::{CALLS_AT_ONCE, CallError, take_one};
use super::clock::Clock;
use super::tags::Tokens;
use crate::ec2::pace::Bucket;
use crate::organization::{Member, accounts};
use crate::place::{AccountId, Region};
use crate::reach::is_lost;
use crate::report::Unobserved;
use crate::request::Request;
use crate::settings::Accounts;

/// How long the organization's list is good for, and how long a denial is taken for an answer.
const GOOD_FOR: Duration = Duration::from_mins(15);
/// How long an older list is taken where there is no new one.
const STILL_GOOD_FOR: Duration = Duration::from_mins(5);
/// Of fewer accounts that a request names nobody infers that the hub is at fault: what is said of each tells it.
const FEW: usize = 10;
/// How long a session lasts. A Lambda function's credentials are those of a role, and a role that another one assumes is
/// good for an hour at most.
///
/// Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles.html#iam-term-role-chaining>
const SESSION_SECONDS: i32 = 3600;
/// What a session is good for beyond the end of a run.
const TO_SPARE: Duration = Duration::from_mins(1);
/// Accounts a page: the most that Organizations gives.
const ACCOUNTS_A_PAGE: i32 = 20;
/// All that a dry run's session may do, whatever the role may.
const LOOK_ALONE: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Resource":"*","Action":["ec2:DescribeInstances","ec2:DescribeInstanceTypes","rds:DescribeDBInstances","rds:DescribeDBClusters","rds:DescribeEvents"]}]}"#;

/// The way from a hub into the accounts that it looks after.
#[derive(Debug)]
pub struct Hub {
    accounts: Accounts,
    sts: aws_sdk_sts::Client,
    organizations: aws_sdk_organizations::Client,
    session_name: String,
    gate: Arc<Semaphore>,
    time: SharedTimeSource,
    memory: Mutex<Memory>,
}

/// What the process has learned.
#[derive(Debug, Default)]
struct Memory {
    own: Option<Own>,
    /// What the organization has listed, and until when that is good.
    listed: Option<(SystemTime, Arc<Vec<Member>>)>,
    /// Those that may act, and those that may look alone.
    sessions: BTreeMap<(AccountId, bool), Credentials>,
    denials: BTreeMap<(AccountId, Option<(Region, Look)>), Denial>,
    /// Those in which the last run that asked could look.
    in_reach: BTreeSet<AccountId>,
}

/// What is looked for at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Look {
    /// Instances.
    Instances,
    /// Databases.
    Databases,
    /// Who started and stopped databases.
    History,
}

/// Who the hub is.
#[derive(Debug, Clone)]
struct Own {
    account: AccountId,
    partition: String,
}

#[derive(Debug, Clone)]
struct Denial {
    until: SystemTime,
    call: &'static str,
    said: Box<str>,
}

/// The accounts of a run.
#[derive(Debug, Default)]
pub struct Entered {
    /// Those that are open, each with the credentials of a session; the hub's own has none.
    pub open: Vec<(AccountId, Option<Credentials>)>,
    /// All that are meant but the hub's own.
    pub spokes: BTreeSet<AccountId>,
    /// Whether the request names them, and they are too few to tell anything of the hub.
    pub are_few: bool,
    /// Those that may not be entered, or that the deployment does not have.
    pub unreachable: Vec<Unobserved>,
    /// Those that could not be entered this time.
    pub unobserved: Vec<Unobserved>,
}

impl Hub {
    /// The hub of a deployment that looks after these accounts. `home` has its own region: roles are asked for there,
    /// since a session is good in all regions, and which are switched off in the hub or in a spoke has no say in it.
    pub(super) fn new(
        home: &SdkConfig,
        accounts: Accounts,
        function_name: &str,
        gate: Arc<Semaphore>,
        time: SharedTimeSource,
    ) -> Self {
        let letters =
            function_name.chars().map(|c| if c.is_ascii_alphanumeric() || "_+=,.@-".contains(c) { c } else { '-' });
        Self {
            accounts,
            sts: aws_sdk_sts::Client::new(home),
            organizations: aws_sdk_organizations::Client::new(home),
            session_name: letters.take(64).collect(),
            gate,
            time,
            memory: Mutex::default(),
        }
    }

    /// All accounts that the deployment looks after, its own among them unless it is excluded; known by an instant at
    /// most.
    ///
    /// # Errors
    ///
    /// The call that failed: without it nobody knows which there are.
    pub async fn all(&self, clock: &Clock, until: Duration) -> Result<BTreeSet<AccountId>, CallError> {
        let mut all = self.accounts.ids.clone();
        all.insert(self.own(clock, until).await?.account);
        if !self.accounts.units.is_empty() {
            let members = self.members(clock, until).await?;
            let (found, empty) = accounts(&self.accounts.units, &members);
            if found.is_empty() {
                let said = "no active account is under the units, or the hub is not told where accounts are";
                return Err(CallError::without_answer("ListAccounts", said));
            }
            for unit in empty {
                tracing::warn!(unit = %unit, "no active account is under this unit");
            }
            all.extend(found);
        }
        Ok(all.difference(&self.accounts.excluded).copied().collect())
    }

    /// Enters the accounts that a request is about, until an instant at most; which there are must be known before.
    pub async fn enter(&self, request: &Request, clock: &Clock, known_by: Duration, until: Duration) -> Entered {
        let known = async { Ok((self.all(clock, known_by).await?, self.own(clock, known_by).await?)) };
        let (all, own) = match known.await {
            Ok(known) => known,
            Err(CallError { call, said, .. }) => {
                return Entered { unobserved: vec![unobserved(None, call, &said)], ..Entered::default() };
            }
        };
        let asked = request.accounts.as_ref().unwrap_or(&all);
        let mut entered = Entered::default();
        for stranger in asked.difference(&all) {
            entered.unreachable.push(unobserved(
                Some(*stranger),
                "AssumeRole",
                "not asked: it is not among the accounts of this deployment",
            ));
        }
        entered.spokes = asked.intersection(&all).copied().filter(|account| *account != own.account).collect();
        entered.are_few = request.accounts.is_some() && entered.spokes.len() < FEW;
        let mut to_ask = Vec::new();
        for account in asked.intersection(&all).copied() {
            if account == own.account {
                entered.open.push((account, None));
            } else if let Some(session) = self.session(account, request.dry_run, clock) {
                entered.open.push((account, Some(session)));
            } else if let Some(denial) = self.denial(account, None) {
                entered.unreachable.push(denial);
            } else {
                to_ask.push(account);
            }
        }
        let bucket = RefCell::new(Bucket::of_assume_role());
        let answered = RefCell::new(BTreeMap::new());
        let ask = stream::iter(&to_ask).for_each_concurrent(CALLS_AT_ONCE, async |account| {
            let ready = take_one(&mut bucket.borrow_mut(), clock);
            clock.wait_until(ready).await;
            let answer = self.assume(*account, &own.partition, request.dry_run).await;
            answered.borrow_mut().insert(*account, answer);
        });
        // What was heard until then counts.
        let _ = clock.before(until, ask).await;
        for account in to_ask {
            match answered.borrow_mut().remove(&account) {
                Some(Ok(session)) => entered.open.push((account, Some(session))),
                Some(Err(error)) if error.is_denial => {
                    self.note_denial(account, None, &error);
                    entered.unreachable.push(unobserved(Some(account), error.call, &error.said));
                }
                Some(Err(error)) => entered.unobserved.push(unobserved(Some(account), error.call, &error.said)),
                None => entered.unobserved.push(unobserved(Some(account), "AssumeRole", "no answer in time")),
            }
        }
        entered
    }

    /// What an earlier run heard, where nobody may look: in an account, or for instances or databases in a region of it.
    #[must_use]
    pub fn denial(&self, account: AccountId, at: Option<(Region, Look)>) -> Option<Unobserved> {
        let region = at.as_ref().map(|(region, _)| region.clone());
        let denial = self.memory().denials.get(&(account, at)).filter(|denial| self.time.now() < denial.until)?.clone();
        Some(Unobserved { account: Some(account), region, call: denial.call, why: denial.said, is_remembered: true })
    }

    /// Takes a denial for an answer, for a while. Of a place, the session may be to blame, which a role that was made anew
    /// does not know: so the next look there is with another one.
    pub fn note_denial(&self, account: AccountId, at: Option<(Region, Look)>, error: &CallError) {
        let denial = Denial { until: self.time.now() + GOOD_FOR, call: error.call, said: error.said.as_str().into() };
        let mut memory = self.memory();
        memory.sessions.remove(&(account, true));
        memory.sessions.remove(&(account, false));
        memory.denials.insert((account, at), denial);
    }

    /// Whether so many of those that were entered, or ought to be, are out of reach that the fault is the hub's. If so the
    /// denials are forgotten, so that another try asks again; if not, who was in reach is what the next run is held
    /// against.
    pub fn is_lost(&self, entered: &Entered, in_reach: &BTreeSet<AccountId>, out: &BTreeSet<AccountId>) -> bool {
        let own: BTreeSet<AccountId> = entered.open.iter().map(|(account, _)| *account).collect();
        // The hub is always in its own reach; it counts only where nobody else is meant.
        let asked = if entered.spokes.is_empty() { &own } else { &entered.spokes };
        let mut memory = self.memory();
        if !entered.are_few && is_lost(asked, out, &memory.in_reach) {
            memory.denials.retain(|(account, _), _| !asked.contains(account));
            return true;
        }
        memory.in_reach.retain(|account| !asked.contains(account));
        memory.in_reach.extend(asked.intersection(in_reach));
        false
    }

    async fn own(&self, clock: &Clock, until: Duration) -> Result<Own, CallError> {
        let call = "GetCallerIdentity";
        if let Some(own) = self.memory().own.clone() {
            return Ok(own);
        }
        let _call = self.gate.acquire().await;
        let told = clock.before(until, self.sts.get_caller_identity().send()).await;
        let told = told.ok_or_else(|| no_answer(call))?.map_err(|error| CallError::new(call, error))?;
        let account = AccountId::try_from(told.account.unwrap_or_default())
            .map_err(|error| CallError::without_answer(call, &error.to_string()))?;
        let partition = told.arn.as_deref().and_then(|arn| arn.split(':').nth(1)).unwrap_or("aws").to_owned();
        let own = Own { account, partition };
        self.memory().own = Some(own.clone());
        Ok(own)
    }

    /// What the organization lists; what it listed before, where it does not answer now.
    async fn members(&self, clock: &Clock, until: Duration) -> Result<Arc<Vec<Member>>, CallError> {
        let now = self.time.now();
        let before = self.memory().listed.clone();
        if let Some((_, members)) = before.clone().filter(|(end, _)| now < *end) {
            return Ok(members);
        }
        let listed = clock.before(until, self.list()).await.unwrap_or_else(|| Err(no_answer("ListAccounts")));
        let (end, members) = match (listed, before) {
            (Ok(members), _) => (now + GOOD_FOR, Arc::new(members)),
            (Err(error), Some((_, members))) => {
                tracing::warn!(detail = %error, "the organization does not tell its accounts: those of before are taken");
                (now + STILL_GOOD_FOR, members)
            }
            (Err(error), None) => return Err(error),
        };
        self.memory().listed = Some((end, members.clone()));
        Ok(members)
    }

    async fn list(&self) -> Result<Vec<Member>, CallError> {
        let call = "ListAccounts";
        let mut members = Vec::new();
        let mut tokens = Tokens::of(call);
        loop {
            let _call = self.gate.acquire().await;
            let request = self.organizations.list_accounts().max_results(ACCOUNTS_A_PAGE);
            let page = request.set_next_token(tokens.next()).send().await;
            let page = page.map_err(|error| CallError::new(call, error))?;
            members.extend(page.accounts().iter().filter_map(member));
            if !tokens.take(page.next_token())? {
                return Ok(members);
            }
        }
    }

    /// A session that outlives the run.
    fn session(&self, account: AccountId, looks_alone: bool, clock: &Clock) -> Option<Credentials> {
        let end = self.time.now() + clock.deadline().saturating_sub(clock.now()) + TO_SPARE;
        let memory = self.memory();
        let session = memory.sessions.get(&(account, looks_alone))?;
        session.expiry().is_some_and(|expiry| expiry > end).then(|| session.clone())
    }

    async fn assume(&self, account: AccountId, partition: &str, looks_alone: bool) -> Result<Credentials, CallError> {
        let call = "AssumeRole";
        let Accounts { spoke_role, external_id, .. } = &self.accounts;
        let _call = self.gate.acquire().await;
        let told = self
            .sts
            .assume_role()
            .role_arn(format!("arn:{partition}:iam::{account}:role{spoke_role}"))
            .role_session_name(&self.session_name)
            .duration_seconds(SESSION_SECONDS)
            .set_external_id(external_id.as_ref().map(|id| id.reveal().to_owned()))
            .set_policy(looks_alone.then(|| LOOK_ALONE.to_owned()))
            .send()
            .await
            .map_err(|error| CallError::new(call, error))?;
        let keys = told.credentials.ok_or_else(|| CallError::without_answer(call, "an answer without credentials"))?;
        let expiry = SystemTime::try_from(keys.expiration).ok();
        let token = Some(keys.session_token);
        let session = Credentials::new(keys.access_key_id, keys.secret_access_key, token, expiry, "spoke");
        self.memory().sessions.insert((account, looks_alone), session.clone());
        Ok(session)
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        // What somebody panicked over is at worst old.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn no_answer(call: &'static str) -> CallError {
    CallError::without_answer(call, "no answer in time")
}

fn unobserved(account: Option<AccountId>, call: &'static str, why: &str) -> Unobserved {
    Unobserved { account, region: None, call, why: why.into(), is_remembered: false }
}

/// An account with its paths; where its state is not told, it is not held against it.
fn member(told: &Account) -> Option<Member> {
    Some(Member {
        id: AccountId::try_from(told.id.clone()?).ok()?,
        is_inactive: told.state().is_some_and(|state| *state != AccountState::Active),
        paths: told.paths().to_vec(),
    })
}
