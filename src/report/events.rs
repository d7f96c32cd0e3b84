//! What the event bus is told: of each that was acted on, of the run, and of stops that are ahead. The names and codes are
//! those of the response; `docs/events.schema.json` has the shapes.

use std::collections::{BTreeSet, VecDeque};

use jiff::Timestamp;
use serde::Serialize;

use super::message::{self, Message, keep_until};
use super::rows::{Counts, Report, Row};
use crate::action::{Action, Outcome, RequestedAction};
use crate::place::{AccountId, Place, Region};
use crate::plan::{Notice, by_owner};
use crate::reason::Reason;
use crate::request::Request;
use crate::resource::{Kind, Resource, ResourceId};
use crate::schedule::Hold;
use crate::settings::Settings;

/// The source of all events.
pub const SOURCE: &str = "stopinator";

/// How many resources the event of a run, or a notice, tells of.
const MOST: usize = 20;

/// What was told before: Lambda tries an invocation again that ended in an error, with the same time, and what is told
/// twice is heard less.
#[derive(Debug, Default)]
pub struct Told(VecDeque<(Timestamp, Option<BTreeSet<AccountId>>, Message)>);

impl Told {
    /// How many messages are remembered.
    const MOST: usize = 100;

    /// Whether a message was not told before for the same trigger; from now on it was.
    fn is_news(&mut self, request: &Request, message: &Message) -> bool {
        // Who divides the work sends several of one time, for other accounts.
        let Request { time, accounts, .. } = request;
        let is_told = |told: &(Timestamp, Option<BTreeSet<AccountId>>, Message)| {
            (&told.0, &told.1, &told.2) == (time, accounts, message)
        };
        let is_news = !self.0.iter().any(is_told);
        if is_news {
            self.0.push_back((*time, accounts.clone(), message.clone()));
            while self.0.len() > Self::MOST {
                self.0.pop_front();
            }
        }
        is_news
    }
}

/// An event for the bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What it is about.
    pub detail_type: &'static str,
    /// The ARN of what it is about, where that is one.
    pub resources: Vec<String>,
    /// JSON.
    pub detail: String,
}

/// Who tells: the function's own partition and account, as the ARN that it was invoked by has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Teller<'a> {
    partition: &'a str,
    account: Option<AccountId>,
    function: &'a str,
    request_id: &'a str,
}

impl<'a> Teller<'a> {
    /// From the function's ARN, `arn:aws:lambda:eu-central-1:111122223333:function:f`. Of an emulator's it may know nothing.
    #[must_use]
    pub fn new(function_arn: &'a str, function: &'a str, request_id: &'a str) -> Self {
        let mut parts = function_arn.split(':').skip(1);
        let partition = parts.next().filter(|partition| partition.starts_with("aws")).unwrap_or("aws");
        let account = parts.nth(2).and_then(|account| AccountId::try_from(account.to_owned()).ok());
        Self { partition, account, function, request_id }
    }

    fn account_of(&self, place: Option<&Place>) -> Option<AccountId> {
        place.and_then(|place| place.account).or(self.account)
    }

    fn arn(&self, id: &ResourceId, place: Option<&Place>) -> Option<String> {
        let (account, region) = (self.account_of(place)?, &place?.region);
        let partition = self.partition;
        Some(match id.kind() {
            Kind::Instance => format!("arn:{partition}:ec2:{region}:{account}:instance/{id}"),
            Kind::Db | Kind::Cluster => format!("arn:{partition}:rds:{region}:{account}:{id}"),
        })
    }
}

/// One resource on which an action was tried.
#[derive(Debug, Serialize)]
struct Acted<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<AccountId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<&'a Region>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<&'a str>,
    action: &'static str,
    outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    by: RequestedAction,
    #[serde(skip_serializing_if = "Option::is_none")]
    edge: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    off_until: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct Ran<'a> {
    action: RequestedAction,
    time: Timestamp,
    counts: Counts,
    #[serde(skip_serializing_if = "Option::is_none")]
    accounts: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unreachable: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    function: &'a str,
    request_id: &'a str,
    instances: Vec<Acted<'a>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    digest: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Message>,
}

/// One resource that a notice is about.
#[derive(Debug, Serialize)]
struct Noticed<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<AccountId>,
    region: &'a Region,
}

#[derive(Debug, Serialize)]
struct Ahead<'a> {
    action: Action,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    minutes: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<&'a str>,
    count: usize,
    instances: Vec<Noticed<'a>>,
    hold: String,
    hold_key: String,
    #[serde(flatten)]
    single: Option<Single<'a>>,
    function: &'a str,
    message: Message,
}

/// What a button needs: it is about one instance of the function's own account.
#[derive(Debug, Serialize)]
struct Single<'a> {
    id: &'a str,
    region: &'a Region,
    group: &'static str,
}

/// The events of a run that is over: one for each on which an action was tried, and one for the run; and once a day one
/// more, with what is to be mended.
#[must_use]
pub fn of_run(
    report: &Report,
    request: &Request,
    settings: &Settings,
    teller: &Teller<'_>,
    told: &mut Told,
) -> Vec<Event> {
    if report.dry_run {
        return Vec::new();
    }
    let mut rows: Vec<&Row> = report.instances.iter().filter(|row| row.outcome.is_some()).collect();
    // The order of outcomes is that of urgency.
    rows.sort_by_key(|row| row.outcome);
    let ran = |message, digest| Ran {
        action: report.action,
        time: report.time,
        counts: report.counts(),
        accounts: report.reach.map(|reach| reach.looked_at),
        unreachable: report.reach.map(|_| report.unreachable.len()),
        error: report.verdict().err().map(|unfinished| unfinished.code()),
        function: teller.function,
        request_id: teller.request_id,
        // What AWS said of each is in the events of their own.
        instances: rows
            .iter()
            .take(MOST)
            .filter_map(|row| Some(Acted { detail: None, ..acted(row, report, teller)? }))
            .collect(),
        digest,
        message,
    };
    let message = message::of_run(report, request, settings, teller.account);
    let message = message.filter(|message| told.is_news(request, message));
    let mut events = vec![event("Stopinator Run", Vec::new(), &ran(message, false))];
    let digest = message::digest(report, request, settings, teller.account);
    if let Some(digest) = digest.filter(|message| told.is_news(request, message)) {
        events.push(event("Stopinator Run", Vec::new(), &ran(Some(digest), true)));
    }
    let tried = |row: &&Row| row.outcome.is_some_and(|outcome| outcome != Outcome::NotAttempted);
    events.extend(report.instances.iter().filter(tried).filter_map(|row| {
        let (function, request_id) = (Some(teller.function), Some(teller.request_id));
        let acted = Acted { function, request_id, ..acted(row, report, teller)? };
        let resources = teller.arn(&row.entry.id, row.entry.place.as_ref()).into_iter().collect();
        Some(event("Stopinator Instance", resources, &acted))
    }));
    events
}

/// The events of notices: one for all of an owner that stop at one time, in one zone; none of what has come already.
#[must_use]
pub fn of_notices(
    notices: Vec<Notice<'_>>,
    request: &Request,
    settings: &Settings,
    teller: &Teller<'_>,
    told: &mut Told,
) -> Vec<Event> {
    let tell = |group: Vec<Notice<'_>>| {
        let first = group.first().filter(|first| first.at.is_none_or(|at| at > request.instant))?;
        let message = message::of_notice(&group, request, settings, teller.account);
        if !told.is_news(request, &message) {
            return None;
        }
        let (at, owner, zone) = (first.at, first.resource.owner(), &first.zone);
        let hold = zone.to_datetime(keep_until(at, request, zone)).strftime("%Y-%m-%dT%H:%M").to_string();
        let single = match &*group {
            [one] if can_be_held(one.resource, teller) => Some(Single {
                id: one.resource.id.as_str(),
                region: &one.resource.place.region,
                group: "stopinator-notice",
            }),
            _ => None,
        };
        let ahead = Ahead {
            action: Action::Stop,
            at,
            minutes: at.map(|at| at.duration_since(request.instant).as_mins()),
            owner,
            count: group.len(),
            instances: group.iter().take(MOST).map(|notice| noticed(notice.resource, teller)).collect(),
            hold,
            hold_key: format!("{}{}", settings.tag_key, Hold::KEY_SUFFIX),
            single,
            function: teller.function,
            message,
        };
        Some(event("Stopinator Notice", Vec::new(), &ahead))
    };
    by_owner(notices).into_iter().filter_map(tell).collect()
}

fn acted<'a>(row: &'a Row, report: &Report, teller: &Teller<'_>) -> Option<Acted<'a>> {
    let until = row.entry.until.as_deref();
    // What has been so for ever has no edge.
    let edge = until.and_then(|until| until.since).filter(|since| *since > Timestamp::MIN);
    let edge = edge.and_then(|edge| Timestamp::from_second(edge.as_second()).ok());
    Some(Acted {
        id: row.entry.id.as_str(),
        kind: kind(&row.entry.id),
        name: row.entry.name.as_deref(),
        account: teller.account_of(row.entry.place.as_ref()),
        region: row.entry.region(),
        owner: row.entry.owner(),
        action: row.planned()?.as_str(),
        outcome: row.outcome?,
        reason: row.reason(),
        detail: row.detail().map(|detail| crate::quote::sentence(&detail)),
        by: report.action,
        edge,
        off_until: until.and_then(|until| until.on),
        function: None,
        request_id: None,
    })
}

fn noticed<'a>(resource: &'a Resource, teller: &Teller<'_>) -> Noticed<'a> {
    Noticed {
        id: resource.id.as_str(),
        kind: kind(&resource.id),
        name: resource.name.as_deref(),
        account: teller.account_of(Some(&resource.place)),
        region: &resource.place.region,
    }
}

/// Whether whoever may hold tagged instances of the function's own account may hold this.
fn can_be_held(resource: &Resource, teller: &Teller<'_>) -> bool {
    let is_own = resource.place.account.is_none() || resource.place.account == teller.account;
    resource.id.instance().is_some() && resource.tag.is_some() && is_own
}

fn kind(id: &ResourceId) -> Option<&'static str> {
    Some(id.kind()).filter(|kind| *kind != Kind::Instance).map(Kind::as_str)
}

fn event(detail_type: &'static str, resources: Vec<String>, detail: &impl Serialize) -> Event {
    // These types cannot fail to be JSON; an empty detail would be refused by the bus, and told.
    Event { detail_type, resources, detail: serde_json::to_string(detail).unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use serde_json::{Value, json};

    use super::*;
    use crate::plan::{Ahead, Decision, Entry, Until, notices, stops};
    use crate::reach::Reach;
    use crate::reason::Why;
    use crate::resource::{LastStop, Launch, State};
    use crate::schedule::Tag;
    use crate::testing::{account, at, instance, region, report, resource_id};

    const ARN: &str = "arn:aws:lambda:eu-central-1:111122223333:function:stopinator";

    fn settings() -> Settings {
        let variables = [
            ("AWS_REGION", "eu-central-1"),
            ("STOPINATOR_TIME_ZONE", "Europe/Berlin"),
            ("STOPINATOR_EVENTS", "true"),
            ("STOPINATOR_NOTICE_MINUTES", "15"),
        ];
        Settings::from_environment(variables.map(|(name, value)| (name.to_owned(), value.to_owned()))).unwrap()
    }

    fn tick(time: &str) -> Request {
        let command = json!({ "action": "schedule", "tick_minutes": 5, "time": time }).to_string();
        crate::trigger::parse(&command, &settings(), at(time) + SignedDuration::from_secs(11)).unwrap()
    }

    fn teller() -> Teller<'static> {
        Teller::new(ARN, "stopinator", "c0287b74-5f3d-4f6e-9d8e-3b1f4b0a6c11")
    }

    /// What came of a stop that was due at six in Berlin.
    fn stopped(id: &str, name: &str, outcome: Outcome, reason: Option<Reason>, said: Option<&str>) -> Row {
        let until = Until { since: Some(at("2026-11-23T17:00:00Z")), due: None, ..Until::default() };
        let until = Until { on: Some(at("2026-11-24T07:00:00Z")), ..until };
        let entry = Entry {
            id: resource_id(id),
            name: Some(name.into()),
            owner: None,
            place: Some(region("eu-central-1").into()),
            launch: Launch::default(),
            decision: Decision::Act(Action::Stop),
            until: Some(until.into()),
        };
        Row { entry, outcome: Some(outcome), reason, said: said.map(Into::into) }
    }

    fn evening() -> Report {
        let mut web = stopped("i-0bed4578ae2020008", "web-1", Outcome::Confirmed, None, None);
        web.entry.owner = Some(Box::new("data-team".into()));
        let said = "OperationNotPermitted: The instance 'i-0bb540fd3cb200281' may not be stopped. Modify its 'disableApiStop' \
                    instance attribute";
        let refused = Some(Reason::StopProtected);
        let mut orders = stopped("db:orders", "서울-데모", Outcome::Accepted, Some(Reason::StillStopping), None);
        orders.entry.place = Some(region("ap-northeast-2").into());
        let mut left = stopped("i-0bb540fd3cb200291", "", Outcome::NotAttempted, Some(Reason::NoTimeLeft), None);
        left.entry.name = None;
        let rows = vec![
            web,
            stopped("i-03e0c91e778ae0010", "quo`te \"<!channel>\"\n*bold*", Outcome::Confirmed, None, None),
            stopped("i-0bb540fd3cb200281", "billing", Outcome::Refused, refused, Some(said)),
            orders,
            left,
        ];
        Report { action: RequestedAction::Schedule, time: at("2026-11-23T17:00:11Z"), ..report(rows) }
    }

    fn value(event: &Event) -> Value {
        json!({
            "source": SOURCE,
            "detail-type": event.detail_type,
            "resources": event.resources,
            "detail": serde_json::from_str::<Value>(&event.detail).unwrap(),
        })
    }

    /// Holds a sample, which tests of the whole way put on a bus, to an event; `UPDATE_DOCS=1` writes it instead.
    fn hold_sample(name: &str, event: &Event) {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/events-samples/{name}.json"));
        let told = serde_json::to_string_pretty(&value(event)).unwrap() + "\n";
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, told).unwrap();
        } else {
            let is = std::fs::read_to_string(&path).unwrap();
            assert!(is == told, "{name} is not what the code says; UPDATE_DOCS=1 writes it: {told}");
        }
    }

    fn resource(id: &str, name: &str, tag: &str) -> Resource {
        Resource {
            id: resource_id(id),
            name: Some(name.into()),
            tag: Some(tag.into()),
            place: region("ap-northeast-2").into(),
            launch: Launch { started_at: Some(at("2026-11-22T23:00:00Z")), ..Launch::default() },
            ..instance()
        }
    }

    #[test]
    fn the_events_of_a_run() {
        let (settings, request) = (settings(), tick("2026-11-23T17:00:00Z"));
        let told = of_run(&evening(), &request, &settings, &teller(), &mut Told::default());
        let types: Vec<_> = told.iter().map(|event| event.detail_type).collect();
        assert_eq!(types, [&["Stopinator Run"][..], &["Stopinator Instance"; 4]].concat(), "not what was not tried");
        assert_eq!(told[1].resources, ["arn:aws:ec2:eu-central-1:111122223333:instance/i-0bed4578ae2020008"]);
        assert_eq!(told[4].resources, ["arn:aws:rds:ap-northeast-2:111122223333:db:orders"]);
        hold_sample("instance-confirmed", &told[1]);
        hold_sample("instance-refused", &told[3]);
        hold_sample("run", &told[0]);
        assert!(
            of_run(&Report { dry_run: true, ..evening() }, &request, &settings, &teller(), &mut Told::default())
                .is_empty()
        );
        // In another account, and from an emulator that knows none.
        let mut report = evening();
        let place = &mut report.instances[0].entry.place;
        *place = place.as_ref().map(|place| place.of(account(7)));
        assert!(
            of_run(&report, &request, &settings, &teller(), &mut Told::default())[1].resources[0]
                .contains(":000000000007:")
        );
        let nobody = Teller::new("f", "f", "r");
        assert!(of_run(&evening(), &request, &settings, &nobody, &mut Told::default())[1].resources.is_empty());
    }

    #[test]
    fn a_refusal_is_told_once_and_a_digest_once_a_day() {
        let settings = settings();
        let begin = at("2026-11-23T00:02:00Z");
        let (mut messages, mut digests) = (Vec::new(), 0);
        for number in 0..288 {
            let time = begin + SignedDuration::from_mins(5) * number;
            let refused =
                stopped("i-0bb540fd3cb200281", "billing", Outcome::Refused, Some(Reason::StopProtected), None);
            let is_due = time >= at("2026-11-23T17:00:00Z");
            let rows = if is_due { vec![refused] } else { Vec::new() };
            let report = Report { action: RequestedAction::Schedule, time, ..report(rows) };
            for event in of_run(&report, &tick(&time.to_string()), &settings, &teller(), &mut Told::default()) {
                let detail: Value = serde_json::from_str(&event.detail).unwrap();
                digests += usize::from(detail["digest"] == true);
                messages.extend(detail["message"]["title"].as_str().map(|title| (time.to_string(), title.to_owned())));
            }
        }
        assert_eq!(messages, [("2026-11-23T17:02:00Z".to_owned(), "1 refused".to_owned())]);
        assert_eq!(digests, 0);
        let quiet =
            of_run(&report(Vec::new()), &tick("2026-11-23T17:02:00Z"), &settings, &teller(), &mut Told::default());
        assert_eq!(quiet.len(), 1);
        hold_sample("run-without-message", &quiet[0]);
    }

    #[test]
    fn what_lambda_tries_again_is_told_once() {
        let (settings, request) = (settings(), tick("2026-11-23T17:00:00Z"));
        let mut told = Told::default();
        let titles = |told: &mut Told, report: &Report, request: &Request| -> Vec<Value> {
            let events = of_run(report, request, &settings, &teller(), told);
            events.iter().map(|event| value(event)["detail"]["message"]["title"].clone()).collect()
        };
        assert_eq!(titles(&mut told, &evening(), &request)[0], "2 stopped, 1 stopping, 1 refused, 1 not attempted");
        assert_eq!(titles(&mut told, &evening(), &request)[0], Value::Null);
        let mut later = evening();
        later.instances.truncate(1);
        assert_eq!(titles(&mut told, &later, &request)[0], "1 stopped", "what it has done since");
        let next = tick("2026-11-23T17:04:59Z");
        assert_eq!(titles(&mut told, &evening(), &next)[0], "2 stopped, 1 stopping, 1 refused, 1 not attempted");
    }

    #[test]
    fn at_nine_it_is_told_what_is_to_be_mended() {
        let settings = settings();
        let Tag::Invalid(error) = Tag::parse("Mo-Fr 8-18") else { panic!() };
        let mut mistyped = stopped("i-0bed4578ae2020008", "wöchentlich", Outcome::Confirmed, None, None);
        mistyped.outcome = None;
        mistyped.entry.decision = Decision::Keep(Why::InvalidSchedule(error.into()));
        let unreachable = crate::report::Unobserved {
            account: Some(account(7)),
            region: None,
            call: "AssumeRole",
            why: "no".into(),
            is_remembered: true,
        };
        let report = |time: &str| Report {
            action: RequestedAction::Schedule,
            time: at(time),
            unreachable: vec![unreachable.clone()],
            reach: Some(Reach { looked_at: 12, is_lost: false }),
            ..report(vec![mistyped.clone()])
        };
        let told = |time: &str| of_run(&report(time), &tick(time), &settings, &teller(), &mut Told::default());
        assert_eq!(told("2026-11-23T07:59:59Z").len(), 1);
        assert_eq!(told("2026-11-23T08:05:00Z").len(), 1);
        for time in ["2026-11-23T08:00:00Z", "2026-11-23T08:04:59Z"] {
            assert_eq!(told(time).len(), 2, "{time}");
        }
        hold_sample("run-with-digest", &told("2026-11-23T08:02:00Z")[1]);
        let healthy = Report { unreachable: Vec::new(), instances: Vec::new(), ..report("2026-11-23T08:02:00Z") };
        assert_eq!(
            of_run(&healthy, &tick("2026-11-23T08:02:00Z"), &settings, &teller(), &mut Told::default()).len(),
            1
        );
    }

    #[test]
    fn notices_are_told_to_owners() {
        let settings = settings();
        let hours = "weekdays 08:00-18:00 Asia/Seoul";
        let demo = Resource {
            owner: Some(Box::new("data-team".into())),
            ..resource("i-0bed4578ae2020008", "서울-데모", hours)
        };
        let web = |n: u32| resource(&format!("i-0000000{n}"), &format!("web-{n}"), hours);
        let database = Resource { last_stop: LastStop::Unknown, ..resource("db:orders", "orders", hours) };
        let off = Resource { state: State::Stopped, ..web(9) };
        let fleet = [web(2), demo.clone(), web(1), database, off];
        let request = tick("2026-11-23T08:42:00Z");
        let ahead = Ahead::of(&settings, &request).unwrap();
        let told = of_notices(notices(&settings, &ahead, &fleet), &request, &settings, &teller(), &mut Told::default());
        assert_eq!(told.len(), 2);
        hold_sample("notice-many", &told[0]);
        hold_sample("notice-one", &told[1]);
        assert!(told.iter().all(|event| event.detail.len() < 64_000));
        // Of another account's, no button of this account's channel can hold it.
        let mut other = demo;
        other.place = other.place.of(account(7));
        let told =
            of_notices(notices(&settings, &ahead, [&other]), &request, &settings, &teller(), &mut Told::default());
        assert!(value(&told[0])["detail"].get("group").is_none());
        // The stop rule's hour is not known here.
        let plain = Resource { tag: Some("true".into()), ..web(3) };
        let command = r#"{"action": "stop", "dry_run": true, "notice": true}"#;
        let request = crate::trigger::parse(command, &settings, at("2026-11-23T08:45:00Z")).unwrap();
        let told = of_notices(
            stops(&settings, &request, [&plain, &web(4)]),
            &request,
            &settings,
            &teller(),
            &mut Told::default(),
        );
        assert_eq!(told.len(), 1);
        hold_sample("notice-rule", &told[0]);
        let detail = &value(&told[0])["detail"];
        assert!(
            detail.get("at").is_none() && detail["message"]["title"].as_str().unwrap().contains("stop rule"),
            "{detail}"
        );
    }

    #[test]
    fn what_is_long_is_cut() {
        let rows = (0_i64..5000).map(|number| {
            let (long, said) = ("쉽".repeat(256), Some("쉽".repeat(5000)));
            let outcome = if number % 2 == 0 { Outcome::Refused } else { Outcome::Confirmed };
            let mut row = stopped(&format!("i-{number:08x}"), &long, outcome, Some(Reason::Ec2Error), said.as_deref());
            row.entry.owner = Some(Box::new(long.into()));
            let on = at("2026-11-24T07:00:00Z") + SignedDuration::from_mins(number);
            row.entry.until = Some(Until { on: Some(on), ..*row.entry.until.unwrap() }.into());
            row
        });
        let report = Report { instances: rows.collect(), ..evening() };
        let told = of_run(&report, &tick("2026-11-23T17:00:00Z"), &settings(), &teller(), &mut Told::default());
        assert_eq!(told.len(), 5001);
        assert!(told.iter().all(|event| event.detail.len() < 64_000), "{}", told[0].detail.len());
    }
}
