//! Environment variables to [`Settings`], once, at the start; every problem is reported together.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::num::NonZeroUsize;
use std::time::Duration;

use jiff::SignedDuration;
use jiff::tz::TimeZone;

use crate::action::RequestedAction;
use crate::organization::Unit;
use crate::place::{AccountId, Region};
use crate::quote;
use crate::zone::zone;

/// Every variable that this function reads under its own prefix.
pub const NAMES: [&str; 19] = [
    "STOPINATOR_TAG_KEY",
    "STOPINATOR_SERVICES",
    "STOPINATOR_ACTION",
    "STOPINATOR_SCOPE",
    "STOPINATOR_TIME_ZONE",
    "STOPINATOR_DRY_RUN",
    "STOPINATOR_HIBERNATE",
    "STOPINATOR_VERIFY_SECONDS",
    "STOPINATOR_MAX_ACTIONS",
    "STOPINATOR_MAX_EVENT_AGE_MINUTES",
    "STOPINATOR_HAND_START_HOURS",
    "STOPINATOR_REGIONS",
    "STOPINATOR_ACCOUNTS",
    "STOPINATOR_EXCLUDE_ACCOUNTS",
    "STOPINATOR_SPOKE_ROLE",
    "STOPINATOR_EXTERNAL_ID",
    "STOPINATOR_MAX_ACTIONS_PER_ACCOUNT",
    "STOPINATOR_EVENTS",
    "STOPINATOR_NOTICE_MINUTES",
];

/// How far one deployment may go.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
pub struct Settings {
    /// The tag key that selects an instance; case-sensitive, 1 to 123 characters, never under `aws:`.
    pub tag_key: Box<str>,
    /// Whether it looks after databases as well as instances.
    pub databases: bool,
    /// What a bare scheduled event means.
    pub action: RequestedAction,
    /// Which instances `stop` reaches.
    pub scope: Scope,
    /// The zone of schedules and holds that name none.
    pub time_zone: TimeZone,
    /// Plan and report only.
    pub dry_run: bool,
    /// Hibernate what is configured for it, instead of stopping it.
    pub hibernate: bool,
    /// How long to look again after acting; zero is not at all.
    pub verify: Duration,
    /// The breaker: the most actions that one plan may hold, all regions together; `None` is no limit.
    pub max_actions: Option<NonZeroUsize>,
    /// How far a trigger's time may lie in the past; `None` is any age.
    pub max_event_age: Option<SignedDuration>,
    /// How long an instance may run that was started by hand outside its schedule; `None` is until the next edge.
    pub hand_start_limit: Option<SignedDuration>,
    /// The function's name, as Lambda tells it: the dimension of its metrics.
    pub function_name: Box<str>,
    /// The regions of this deployment: sorted, each once, at least one.
    pub regions: Vec<Region>,
    /// Whether it tells the account's event bus what it did.
    pub events: bool,
    /// How long before a stop by a schedule its notice is told; `None` is not at all.
    pub notice: Option<SignedDuration>,
    /// The function's own region, where that is told.
    pub own_region: Option<Region>,
    /// Which accounts it looks after; none where that is its own alone.
    pub accounts: Option<Accounts>,
}

/// The accounts that a deployment, then called a hub, looks after. Its own is one of them unless it is excluded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accounts {
    /// Those that are named.
    pub ids: BTreeSet<AccountId>,
    /// Units of the organization, or its root: the accounts under them.
    pub units: BTreeSet<Unit>,
    /// Never these, whatever else is said.
    pub excluded: BTreeSet<AccountId>,
    /// The path and name of the role to assume in each: `/StopinatorSpoke`.
    pub spoke_role: Box<str>,
    /// What the hub says when it asks for the role, where the role wants to hear something.
    pub external_id: Option<ExternalId>,
    /// The breaker of an account: the most actions that its part of a plan may hold; `None` is no limit.
    pub max_actions: Option<NonZeroUsize>,
}

/// An external id: 2 to 1,224 characters. No secret to AWS, but nobody's business.
#[derive(Clone, PartialEq, Eq)]
pub struct ExternalId(Box<str>);

impl ExternalId {
    /// The text, for AWS alone.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ExternalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ExternalId(…)")
    }
}

/// Which instances `stop` reaches. `start` never reaches an untagged one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Those that carry the tag.
    Tagged,
    /// Every instance that is not opted out.
    All,
}

/// Every problem in the environment, at least one.
#[derive(Debug, thiserror::Error)]
pub struct SettingsError {
    problems: Vec<Problem>,
}

/// A setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {what}", quote::word(variable))]
pub struct Problem {
    /// The variable.
    pub variable: String,
    /// What is wrong with it, without its name.
    pub what: String,
}

impl SettingsError {
    /// The problems, at least one: whoever gave the settings elsewhere than in the environment says so.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the environment has {} problem", self.problems.len())?;
        if self.problems.len() > 1 {
            f.write_str("s")?;
        }
        for (place, problem) in self.problems.iter().enumerate() {
            write!(f, "{} {problem}", if place == 0 { ":" } else { ";" })?;
        }
        Ok(())
    }
}

impl Settings {
    /// Reads the settings from environment variables; what is not set takes its default.
    ///
    /// # Errors
    ///
    /// All values that do not parse and all unknown `STOPINATOR_` names, together, each by its name.
    pub fn from_environment(variables: impl IntoIterator<Item = (String, String)>) -> Result<Self, SettingsError> {
        let mut reader = Reader { variables: variables.into_iter().collect(), problems: Vec::new() };
        reader.refuse_unknown_names();
        let settings = Self {
            tag_key: reader.read("STOPINATOR_TAG_KEY", "Stopinator", tag_key),
            databases: reader.read("STOPINATOR_SERVICES", false, databases),
            action: reader.read("STOPINATOR_ACTION", RequestedAction::Stop, action),
            scope: reader.read("STOPINATOR_SCOPE", Scope::Tagged, scope),
            time_zone: reader.read("STOPINATOR_TIME_ZONE", TimeZone::UTC, |text| {
                zone(text).map_err(|error| format!("`{text}`: {error}"))
            }),
            dry_run: reader.read("STOPINATOR_DRY_RUN", false, boolean),
            hibernate: reader.read("STOPINATOR_HIBERNATE", false, boolean),
            verify: reader.read("STOPINATOR_VERIFY_SECONDS", Duration::from_mins(1), |text| {
                match whole_number(text)? {
                    seconds @ 0..=600 => Ok(Duration::from_secs(seconds.into())),
                    seconds => Err(format!("`{seconds}` is out of range; give 0 to 600 seconds, 0 is off")),
                }
            }),
            max_actions: reader.read("STOPINATOR_MAX_ACTIONS", NonZeroUsize::new(200), |text| {
                whole_number(text).map(|n| NonZeroUsize::new(n as usize))
            }),
            max_event_age: reader.read(
                "STOPINATOR_MAX_EVENT_AGE_MINUTES",
                Some(SignedDuration::from_mins(60)),
                |text| whole_number(text).map(|n| (n > 0).then(|| SignedDuration::from_mins(i64::from(n)))),
            ),
            hand_start_limit: reader.read("STOPINATOR_HAND_START_HOURS", None, |text| {
                whole_number(text).map(|n| (n > 0).then(|| SignedDuration::from_hours(i64::from(n))))
            }),
            function_name: reader.read("AWS_LAMBDA_FUNCTION_NAME", "stopinator", |text| Ok(text.into())),
            regions: reader.regions(),
            events: reader.read("STOPINATOR_EVENTS", false, boolean),
            notice: reader.read("STOPINATOR_NOTICE_MINUTES", None, |text| match whole_number(text)? {
                0 => Ok(None),
                minutes @ 5..=120 => Ok(Some(SignedDuration::from_mins(minutes.into()))),
                minutes => Err(format!("`{minutes}` is out of range; give 5 to 120 minutes, or 0 for no notice")),
            }),
            own_region: reader.read("AWS_REGION", None, |text| {
                Region::try_from(text.to_owned()).map(Some).map_err(|error| error.to_string())
            }),
            accounts: reader.accounts(),
        };
        if settings.notice.is_some() && !settings.events {
            reader.refuse("STOPINATOR_NOTICE_MINUTES", "a notice is an event; set STOPINATOR_EVENTS=true as well");
        }
        if reader.problems.is_empty() { Ok(settings) } else { Err(SettingsError { problems: reader.problems }) }
    }

    /// The region in which what is not of a place is asked for: the function's own, or else the first of its regions.
    #[must_use]
    pub fn home(&self) -> Option<&Region> {
        self.own_region.as_ref().or(self.regions.first())
    }
}

struct Reader {
    variables: HashMap<String, String>,
    problems: Vec<Problem>,
}

impl Reader {
    fn refuse(&mut self, variable: &str, what: &str) {
        self.problems.push(Problem { variable: variable.to_owned(), what: quote::sentence(what) });
    }

    fn read<T>(&mut self, name: &str, default: impl Into<T>, parse: impl Fn(&str) -> Result<T, String>) -> T {
        let default = default.into();
        match self.variables.get(name).map(|text| parse(text.trim())) {
            None => default,
            Some(Ok(value)) => value,
            Some(Err(problem)) => {
                self.refuse(name, &problem);
                default
            }
        }
    }

    fn refuse_unknown_names(&mut self) {
        let mut problems = Vec::new();
        let mut unknown: Vec<&String> = self
            .variables
            .keys()
            .filter(|name| name.starts_with("STOPINATOR_") && !NAMES.contains(&name.as_str()))
            .collect();
        unknown.sort();
        for name in unknown {
            let what = format!("there is no such setting; there are {}", NAMES.join(", "));
            problems.push(Problem { variable: name.clone(), what });
        }
        self.problems.extend(problems);
    }

    /// The deployment's regions, or the function's own, which Lambda sets as `AWS_REGION`.
    fn regions(&mut self) -> Vec<Region> {
        let own = "AWS_REGION";
        let name = if self.variables.contains_key("STOPINATOR_REGIONS") { "STOPINATOR_REGIONS" } else { own };
        if !self.variables.contains_key(name) {
            self.refuse("STOPINATOR_REGIONS", "not set, and there is no AWS_REGION to take instead");
        }
        self.read(name, Vec::new(), |text| {
            let mut regions = text
                .split(',')
                .map(|piece| Region::try_from(piece.trim().to_owned()))
                .collect::<Result<Vec<_>, _>>()
                .map_err(|error| error.to_string())?;
            regions.sort();
            regions.dedup();
            Ok(regions)
        })
    }
}

impl Reader {
    /// The accounts, where any are named.
    fn accounts(&mut self) -> Option<Accounts> {
        let listed = self.read("STOPINATOR_ACCOUNTS", (BTreeSet::new(), BTreeSet::new()), accounts);
        let excluded = self.read("STOPINATOR_EXCLUDE_ACCOUNTS", BTreeSet::new(), |text| list(text, account));
        let spoke_role = self.read("STOPINATOR_SPOKE_ROLE", "/StopinatorSpoke", role);
        let external_id = self.read("STOPINATOR_EXTERNAL_ID", None, external_id);
        let max_actions = self.read("STOPINATOR_MAX_ACTIONS_PER_ACCOUNT", NonZeroUsize::new(50), |text| {
            whole_number(text).map(|n| NonZeroUsize::new(n as usize))
        });
        let (ids, units) = listed;
        if ids.is_empty() && units.is_empty() && excluded.is_empty() {
            return None;
        }
        Some(Accounts { ids, units, excluded, spoke_role, external_id, max_actions })
    }
}

/// The pieces between commas; an empty text has none.
fn list<T: Ord>(text: &str, parse: impl Fn(&str) -> Result<T, String>) -> Result<BTreeSet<T>, String> {
    if text.is_empty() { Ok(BTreeSet::new()) } else { text.split(',').map(|piece| parse(piece.trim())).collect() }
}

fn account(text: &str) -> Result<AccountId, String> {
    AccountId::try_from(text.to_owned()).map_err(|error| error.to_string())
}

/// Accounts, and units of the organization.
fn accounts(text: &str) -> Result<(BTreeSet<AccountId>, BTreeSet<Unit>), String> {
    let is_unit = |piece: &&str| piece.trim().starts_with(|c: char| c.is_ascii_alphabetic());
    let pieces = || text.split(',').filter(|_| !text.is_empty());
    let units = pieces().filter(is_unit).map(|piece| Unit::try_from(piece.trim().to_owned()));
    let units: BTreeSet<Unit> = units.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    Ok((pieces().filter(|piece| !is_unit(piece)).map(|piece| account(piece.trim())).collect::<Result<_, _>>()?, units))
}

/// The path and the name of a role, with the slash that both begin with.
///
/// Source: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateRole.html>
fn role(text: &str) -> Result<Box<str>, String> {
    let role = text.strip_prefix('/').unwrap_or(text);
    let (path, name) = role.rsplit_once('/').unwrap_or(("", role));
    let is_name =
        |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"+=,.@_-".contains(&b));
    if is_name(name) && name.len() <= 64 && path.len() <= 510 && (path.is_empty() || path.split('/').all(is_name)) {
        Ok(format!("/{role}").into())
    } else {
        Err(format!("`{text}` is not the path and name of a role, as `StopinatorSpoke` or `/team/StopinatorSpoke`"))
    }
}

/// Source: <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>
fn external_id(text: &str) -> Result<Option<ExternalId>, String> {
    let fits = (2..=1224).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+=,.@:/_-".contains(&b));
    match text {
        "" => Ok(None),
        _ if fits => Ok(Some(ExternalId(text.into()))),
        _ => Err("it is no external id, which has 2 to 1224 letters, digits and + = , . @ : / _ -".to_owned()),
    }
}

fn tag_key(text: &str) -> Result<Box<str>, String> {
    let length = text.chars().count();
    if length == 0 {
        Err("it is empty; give the key of the tag that selects instances".into())
    } else if length > 123 {
        Err(format!("it has {length} characters; it may have 123, so that with `-Hold` it is a tag key of at most 128"))
    } else if text.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:")) {
        Err(format!("`{text}` begins with `aws:`, which AWS keeps for itself; choose a key of your own"))
    } else if text.chars().any(char::is_control) {
        Err("it holds a control character, which no tag key can".into())
    } else {
        Ok(text.into())
    }
}

fn action(text: &str) -> Result<RequestedAction, String> {
    match text.to_ascii_lowercase().as_str() {
        "stop" => Ok(RequestedAction::Stop),
        "start" => Ok(RequestedAction::Start),
        "schedule" => Ok(RequestedAction::Schedule),
        _ => Err(format!("`{text}` is not an action; give `stop`, `start` or `schedule`")),
    }
}

/// Instances always; databases where they are asked for.
fn databases(text: &str) -> Result<bool, String> {
    let words: Vec<String> = text.split(',').map(|word| word.trim().to_ascii_lowercase()).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["ec2"] => Ok(false),
        ["ec2", "rds"] => Ok(true),
        _ => Err(format!("`{text}` is no list of services; give `ec2`, or `ec2,rds` to look after databases, too")),
    }
}

fn scope(text: &str) -> Result<Scope, String> {
    match text.to_ascii_lowercase().as_str() {
        "tagged" => Ok(Scope::Tagged),
        "all" => Ok(Scope::All),
        _ => Err(format!("`{text}` is not a scope; give `tagged` or `all`")),
    }
}

fn boolean(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(format!("`{text}` is neither `true` nor `false`")),
    }
}

fn whole_number(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("`{text}` is not a whole number from 0 to {}", u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn read(variables: &[(&str, &str)]) -> Result<Settings, String> {
        let own = [("AWS_REGION", "ap-northeast-2"), ("PATH", "/bin")];
        Settings::from_environment(own.iter().chain(variables).map(|(n, v)| ((*n).to_owned(), (*v).to_owned())))
            .map_err(|error| error.to_string())
    }

    fn region(name: &str) -> Region {
        Region::try_from(name.to_owned()).unwrap()
    }

    #[test]
    fn defaults() {
        assert_eq!(
            read(&[]).unwrap(),
            Settings {
                tag_key: "Stopinator".into(),
                databases: false,
                action: RequestedAction::Stop,
                scope: Scope::Tagged,
                time_zone: TimeZone::UTC,
                dry_run: false,
                hibernate: false,
                verify: Duration::from_mins(1),
                max_actions: NonZeroUsize::new(200),
                max_event_age: Some(SignedDuration::from_mins(60)),
                hand_start_limit: None,
                function_name: "stopinator".into(),
                regions: vec![region("ap-northeast-2")],
                events: false,
                notice: None,
                own_region: Some(region("ap-northeast-2")),
                accounts: None,
            }
        );
    }

    #[test]
    fn everything_set() {
        let settings = read(&[
            ("STOPINATOR_TAG_KEY", "acme:stop-hours"),
            ("STOPINATOR_SERVICES", "ec2, RDS"),
            ("STOPINATOR_ACTION", "start"),
            ("STOPINATOR_SCOPE", "ALL"),
            ("STOPINATOR_TIME_ZONE", "Asia/Seoul"),
            ("STOPINATOR_DRY_RUN", "True"),
            ("STOPINATOR_HIBERNATE", "true"),
            ("STOPINATOR_VERIFY_SECONDS", "600"),
            ("STOPINATOR_MAX_ACTIONS", "0"),
            ("STOPINATOR_MAX_EVENT_AGE_MINUTES", "0"),
            ("STOPINATOR_HAND_START_HOURS", "8"),
            ("STOPINATOR_EVENTS", "true"),
            ("STOPINATOR_NOTICE_MINUTES", "15"),
            ("AWS_LAMBDA_FUNCTION_NAME", "evening"),
            ("STOPINATOR_REGIONS", "us-east-1, eu-west-1,us-east-1"),
        ])
        .unwrap();
        assert_eq!(
            settings,
            Settings {
                tag_key: "acme:stop-hours".into(),
                databases: true,
                action: RequestedAction::Start,
                scope: Scope::All,
                time_zone: TimeZone::get("Asia/Seoul").unwrap(),
                dry_run: true,
                hibernate: true,
                verify: Duration::from_mins(10),
                max_actions: None,
                max_event_age: None,
                hand_start_limit: Some(SignedDuration::from_hours(8)),
                function_name: "evening".into(),
                regions: vec![region("eu-west-1"), region("us-east-1")],
                events: true,
                notice: Some(SignedDuration::from_mins(15)),
                own_region: Some(region("ap-northeast-2")),
                accounts: None,
            }
        );
    }

    #[test]
    fn other_accounts() {
        let defaults = Accounts {
            ids: BTreeSet::new(),
            units: BTreeSet::new(),
            excluded: BTreeSet::new(),
            spoke_role: "/StopinatorSpoke".into(),
            external_id: None,
            max_actions: NonZeroUsize::new(50),
        };
        let unit = |text: &str| Unit::try_from(text.to_owned()).unwrap();
        let ids = BTreeSet::from([1, 2].map(testing::account));
        for (variables, expected) in [
            (
                &[("STOPINATOR_ACCOUNTS", ""), ("STOPINATOR_EXCLUDE_ACCOUNTS", ""), ("STOPINATOR_EXTERNAL_ID", "")][..],
                None,
            ),
            // It concerns other accounts alone.
            (&[("STOPINATOR_MAX_ACTIONS_PER_ACCOUNT", "1"), ("STOPINATOR_SPOKE_ROLE", "X")], None),
            (
                &[("STOPINATOR_ACCOUNTS", "000000000002, ou-ab12-cdefgh34,000000000001,r-ab12")],
                Some(Accounts {
                    ids,
                    units: BTreeSet::from([unit("ou-ab12-cdefgh34"), unit("r-ab12")]),
                    ..defaults.clone()
                }),
            ),
            (
                &[
                    ("STOPINATOR_EXCLUDE_ACCOUNTS", "000000000003"),
                    ("STOPINATOR_SPOKE_ROLE", "/team/ops/Stop.It"),
                    ("STOPINATOR_EXTERNAL_ID", "acme:1/2"),
                    ("STOPINATOR_MAX_ACTIONS_PER_ACCOUNT", "0"),
                    ("STOPINATOR_REGIONS", "us-east-1"),
                ],
                Some(Accounts {
                    excluded: BTreeSet::from([testing::account(3)]),
                    spoke_role: "/team/ops/Stop.It".into(),
                    external_id: Some(ExternalId("acme:1/2".into())),
                    max_actions: None,
                    ..defaults.clone()
                }),
            ),
        ] {
            assert_eq!(read(variables).unwrap().accounts, expected, "{variables:?}");
        }
        let shown = format!("{:?}", read(&[("STOPINATOR_ACCOUNTS", "r-ab12"), ("STOPINATOR_EXTERNAL_ID", "hush")]));
        assert!(!shown.contains("hush"), "{shown}");
    }

    #[test]
    fn each_bad_value_names_its_variable() {
        for (name, bad) in [
            ("STOPINATOR_TAG_KEY", ""),
            ("STOPINATOR_TAG_KEY", "  "),
            ("STOPINATOR_TAG_KEY", "aws:ec2:fleet-id"),
            ("STOPINATOR_TAG_KEY", "a\nb"),
            ("STOPINATOR_SERVICES", ""),
            ("STOPINATOR_SERVICES", "rds"),
            ("STOPINATOR_SERVICES", "ec2 rds"),
            ("STOPINATOR_SERVICES", "ec2,rds,ecs"),
            ("STOPINATOR_ACTION", "halt"),
            ("STOPINATOR_ACTION", "on"),
            ("STOPINATOR_SCOPE", "everything"),
            ("STOPINATOR_TIME_ZONE", "KST"),
            ("STOPINATOR_TIME_ZONE", "Etc/GMT+9"),
            ("STOPINATOR_TIME_ZONE", "Asia/Soul"),
            ("STOPINATOR_DRY_RUN", "1"),
            ("STOPINATOR_DRY_RUN", ""),
            ("STOPINATOR_HIBERNATE", "maybe"),
            ("STOPINATOR_VERIFY_SECONDS", "601"),
            ("STOPINATOR_MAX_ACTIONS", "-1"),
            ("STOPINATOR_MAX_EVENT_AGE_MINUTES", "1h"),
            ("STOPINATOR_HAND_START_HOURS", "-8"),
            ("STOPINATOR_REGIONS", ""),
            ("STOPINATOR_REGIONS", "us-east-1,,eu-west-1"),
            ("STOPINATOR_REGIONS", "Seoul"),
            ("STOPINATOR_ACCOUNTS", "1111"),
            ("STOPINATOR_ACCOUNTS", "111122223333,"),
            ("STOPINATOR_ACCOUNTS", "all"),
            ("STOPINATOR_ACCOUNTS", "o-a1b2c3d4e5"),
            ("STOPINATOR_EXCLUDE_ACCOUNTS", "ou-ab12-cdefgh34"),
            ("STOPINATOR_SPOKE_ROLE", ""),
            ("STOPINATOR_SPOKE_ROLE", "arn:aws:iam::111122223333:role/StopinatorSpoke"),
            ("STOPINATOR_SPOKE_ROLE", "team//StopinatorSpoke"),
            ("STOPINATOR_EXTERNAL_ID", "x"),
            ("STOPINATOR_EXTERNAL_ID", "two words"),
            ("STOPINATOR_MAX_ACTIONS_PER_ACCOUNT", "few"),
            ("STOPINATOR_EVENTS", "some"),
            ("STOPINATOR_NOTICE_MINUTES", "15"),
            ("STOPINATOR_NOTICE_MINUTES", "4"),
            ("STOPINATOR_NOTICE_MINUTES", "121"),
            ("STOPINATOR_TAGKEY", "Stopinator"),
        ] {
            let error = read(&[(name, bad)]).expect_err(bad);
            assert!(error.contains(&format!("has 1 problem: {name}: ")), "{bad:?} gave: {error}");
        }
        let long = "k".repeat(124);
        assert!(read(&[("STOPINATOR_TAG_KEY", &long)]).is_err());
        assert!(read(&[("STOPINATOR_TAG_KEY", &long[1..])]).is_ok());
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let error = read(&[
            ("STOPINATOR_TYPO", "x"),
            ("STOPINATOR_ACTION", "halt"),
            ("STOPINATOR_MAX_ACTIONS", "many"),
            ("STOPINATOR_REGIONS", "here"),
        ])
        .unwrap_err();
        assert!(error.starts_with("the environment has 4 problems: "), "{error}");
        for name in ["STOPINATOR_TYPO", "STOPINATOR_ACTION", "STOPINATOR_MAX_ACTIONS", "STOPINATOR_REGIONS"] {
            assert!(error.contains(&format!("{name}: ")), "{name} is not in: {error}");
        }
    }

    #[test]
    fn what_is_long_is_cut_in_the_error() {
        let long = "x".repeat(1_000_000);
        for name in NAMES.iter().filter(|name| **name != "STOPINATOR_TAG_KEY") {
            let error = read(&[(name, &long)]).unwrap_err();
            assert!(error.len() < 1_000 && error.contains(name), "{name}: {} bytes", error.len());
        }
        for (name, value) in
            [("STOPINATOR_TAG_KEY", format!("aws:{}", &long[..100])), ("STOPINATOR_TAG_KEY", long.clone())]
        {
            assert!(read(&[(name, &value)]).unwrap_err().len() < 1_000);
        }
        let error = read(&[(&format!("STOPINATOR_{long}"), "1")]).unwrap_err();
        assert!(error.len() < 1_000 && error.contains("STOPINATOR_xxx"), "{} bytes", error.len());
    }

    #[test]
    fn a_region_is_needed() {
        let error = Settings::from_environment([]).unwrap_err().to_string();
        assert!(error.contains("STOPINATOR_REGIONS: not set"), "{error}");
    }

    #[test]
    fn the_docs_tell_each_message() {
        testing::hold_rows("messages.md", "| setting | message |\n|---|---|\n", |row| {
            let setting = testing::first_cell(row);
            let error = read(&[setting.split_once('=').unwrap()]).unwrap_err();
            format!("| `{setting}` | {} |", error.strip_prefix("the environment has 1 problem: ").unwrap())
        });
    }
}
