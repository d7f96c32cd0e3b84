//! `stopinator explain`: everything behind one instance's decision.

use std::fmt::Write as _;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use stopinator::action::{Action, RequestedAction};
use stopinator::plan::{Decision, Evidence};
use stopinator::reason::{Reason, Why};
use stopinator::report::Row;
use stopinator::resource::{Kind, LastStart, LastStop, Resource, ResourceId, State};
use stopinator::schedule::{Edge, HoldMode, MOMENT, Tag};
use stopinator::settings::{Scope, Settings};

use crate::accounts::{Account, Accounts};
use crate::args::Explain;
use crate::failure::{Exit, Failure};
use crate::look::{Looked, Question, Waiting, instant, look, requests, tell_what_is_missing, ticked};
use crate::rows;
use crate::rules::{Rules, by_settings};
use crate::screen::{BOLD, HINT, START, STOP, Screen, quoted, styled};
use crate::when::{on_clocks, rough};

/// How many edges ahead are shown.
const AHEAD: usize = 2;
/// Where the second column begins.
const COLUMN: usize = 16;

pub(crate) async fn explain(explain: &Explain, now: Timestamp, screen: Screen) -> Result<Exit, Failure> {
    let instant = instant(explain.at.as_deref(), now, &TimeZone::system(), screen)?;
    let rules = Rules::read(&explain.ask)?;
    let accounts = Accounts::open(&explain.ask, &rules).await?;
    let waiting = Waiting::new(explain.ask.quiet, screen);
    let question = Question {
        action: RequestedAction::Schedule,
        instant,
        dry_run: true,
        instances: vec![explain.instance.clone()],
        needs_all: true,
    };
    let mut requests = requests(&accounts, &question, &waiting).await?;
    let mut looked = look(&accounts, &requests, &waiting, screen, &|| ()).await?;
    let found: Vec<(&Looked<'_>, &Row, &(Resource, Evidence))> = found(&looked);
    let account = match &*found {
        [] => {
            waiting.over();
            tell_what_is_missing(screen, &accounts, &looked);
            let text = format!("{} is not among what could be looked at", explain.instance);
            return Err(Failure::incomplete(text));
        }
        [(looked, _, (instance, _))] => (&looked.account.name, instance.tag.clone()),
        several => {
            let ids: Vec<&str> = several.iter().map(|(_, row, _)| row.entry.id.as_str()).collect();
            let (name, count) = (screen.text(&explain.instance), several.len());
            return Err(Failure::wrong(format!(
                "{count} instances are named {name}: give the id ({})",
                ids.join(", ")
            )));
        }
    };
    // What has no schedule is decided by the two rules, so those are asked as well.
    let scope = found[0].0.account.settings.scope;
    let is_plain = match account.1.as_deref() {
        Some(tag) => Tag::parse(tag) == Tag::Plain,
        None => scope == Scope::All,
    };
    let mut out = Teller {
        screen,
        now: instant,
        reader: TimeZone::system(),
        profile: !explain.ask.profile.is_empty(),
        key: explain.ask.tag_key.clone(),
    }
    .whole(&accounts, found[0]);
    if is_plain {
        for action in [RequestedAction::Stop, RequestedAction::Start] {
            for request in requests.iter_mut().flatten() {
                request.action = action;
            }
            looked = look(&accounts, &requests, &waiting, screen, &|| ()).await?;
            if let Some((_, row, _)) = self::found(&looked).first() {
                let what = row.reason().map_or("it is due", Reason::sentence);
                let rule = format!("{action} rule");
                let said = format!("{:<COLUMN$}{:<6}{what}", format!("  {rule}"), row.decision());
                let _ = writeln!(out, "{}", screen.wrap(&said, COLUMN));
            }
        }
    }
    waiting.over();
    let incomplete = tell_what_is_missing(screen, &accounts, &looked);
    screen.print(&out);
    Ok(if incomplete { Exit::Incomplete } else { Exit::Done })
}

fn found<'a>(looked: &'a [Looked<'a>]) -> Vec<(&'a Looked<'a>, &'a Row, &'a (Resource, Evidence))> {
    let rows = looked.iter().flat_map(|looked| looked.rows().map(move |(row, found)| (looked, row, found)));
    rows.filter_map(|(looked, row, found)| Some((looked, row, found?))).collect()
}

struct Teller {
    screen: Screen,
    /// The instant that was decided for.
    now: Timestamp,
    /// The zone of what has no schedule.
    reader: TimeZone,
    /// Whether profiles are named, as commands then have to do too.
    profile: bool,
    /// The tag's key, where it was given.
    key: Option<String>,
}

impl Teller {
    fn whole(
        &self,
        accounts: &Accounts,
        (looked, row, (instance, evidence)): (&Looked<'_>, &Row, &(Resource, Evidence)),
    ) -> String {
        let screen = self.screen;
        let zone = if evidence.schedule.is_some() { &evidence.zone } else { &self.reader };
        let mut out = String::new();
        let name = screen.name(row);
        let account = match accounts.open.len() {
            1 => looked.account.id.clone(),
            _ => format!("{} ({})", looked.account.name, looked.account.id),
        };
        let _ = writeln!(out, "{}  {}  {}  {account}\n", styled(BOLD, &name), instance.id, instance.place.region);
        let (word, style) = match row.planned() {
            Some(Action::Stop) => ("stop", STOP),
            Some(Action::Start) => ("start", START),
            None => ("keep", BOLD),
        };
        let reason = row.reason().map_or("", Reason::as_str);
        let held = evidence.held_at(self.now).is_some();
        let sentence = row.reason().map_or_else(
            || match (row.planned(), held) {
                (Some(Action::Start), false) => "its schedule says on",
                (Some(Action::Start), true) => "its hold says on",
                (_, false) => "its schedule says off",
                (_, true) => "its hold says off",
            },
            Reason::sentence,
        );
        // What the detail says stands below.
        let sentence = sentence.split("; `detail`").next().unwrap_or(sentence);
        let blanks = " ".repeat(14usize.saturating_sub(word.len()).max(1));
        let reason = if reason.is_empty() { String::new() } else { format!("{reason}  ") };
        let first = format!("  {}{blanks}{reason}{sentence}", styled(style, word));
        let _ = writeln!(out, "{}\n", screen.wrap(&first, COLUMN));
        self.line(&mut out, "now", &format!("{} {}", time(self.now, zone), on_clocks(self.now, zone).strftime("%Z")));
        self.line(&mut out, "settings", &by_settings(&looked.account.settings, screen));
        self.tags(&mut out, &looked.account.settings, instance, evidence);
        if let Some(schedule) = &evidence.schedule {
            self.line(&mut out, "in words", &schedule.in_words(&evidence.zone));
            self.line(&mut out, "latest edge", &Self::latest(evidence));
        }
        let who = if instance.id.database().is_some() { "RDS says" } else { "EC2 says" };
        self.line(&mut out, who, &self.evidence(instance, zone));
        if let Some(so) = self.so(&looked.account.settings, row, instance, evidence) {
            self.line(&mut out, "so", &so);
        }
        self.next(&mut out, looked.account, row, instance, evidence);
        self.advice(&mut out, looked, row, evidence);
        out
    }

    fn line(&self, out: &mut String, what: &str, text: &str) {
        let _ = writeln!(out, "{}", self.screen.wrap(&format!("{:<COLUMN$}{text}", format!("  {what}")), COLUMN));
    }

    fn tags(&self, out: &mut String, settings: &Settings, instance: &Resource, evidence: &Evidence) {
        let key = self.screen.text(&settings.tag_key);
        let tag = match instance.tag.as_deref() {
            Some(value) => format!("{key} = {}", self.screen.text(value)),
            None => "none".to_owned(),
        };
        self.line(out, "tag", &tag);
        let hold = match (instance.hold.as_deref(), &evidence.hold) {
            (None, _) => "none".to_owned(),
            (Some(value), Some((_, end))) if *end <= self.now => {
                format!("{key}-Hold = {}, over since {}", self.screen.text(value), time(*end, &evidence.zone))
            }
            (Some(value), _) => format!("{key}-Hold = {}", self.screen.text(value)),
        };
        self.line(out, "hold", &hold);
    }

    fn latest(evidence: &Evidence) -> String {
        match evidence.latest {
            None => "none that counts".to_owned(),
            Some(edge) if edge.at == Timestamp::MIN => format!("{} for ever", rows::turn(edge.on)),
            Some(edge) => {
                let what = match () {
                    () if edge.moment => "a moment",
                    () if evidence.hold.as_ref().is_some_and(|(_, end)| *end == edge.at) => "the end of the hold",
                    () if edge.on => "the begin of its hours",
                    () => "the end of its hours",
                };
                format!("{}  {}, {what}", time(edge.at, &evidence.zone), rows::turn(edge.on))
            }
        }
    }

    fn evidence(&self, instance: &Resource, zone: &TimeZone) -> String {
        let started = instance.launch.started_at.map(|at| time(at, zone));
        match (instance.state, &instance.last_stop, started) {
            (State::Running, _, Some(at)) if !instance.log_was_not_read() => {
                let by = if instance.last_start == LastStart::ByAws { ", by AWS" } else { "" };
                let field = if instance.id.database().is_some() { "DescribeEvents" } else { "LaunchTime" };
                format!("running since {at}{by}  ({field})")
            }
            (State::Stopped, LastStop::BySomebody(Some(stopped)), _) => {
                format!("stopped by somebody at {}", time(*stopped, zone))
            }
            (State::Stopped, LastStop::BySomebody(None), started) => {
                format!("stopped by somebody, it does not tell when{}", last_start(started))
            }
            (State::Stopped, LastStop::ByAws, started) => format!("stopped by AWS{}", last_start(started)),
            (State::Stopped, LastStop::FailedStart(start), _) => {
                format!("its last start fell back: {}", self.screen.text(&start.told))
            }
            (State::Stopped, LastStop::Unknown, started) => {
                format!("stopped, it does not tell when or by whom{}", last_start(started))
            }
            (State::Running, ..) if instance.id.database().is_some() => match instance.last_start {
                LastStart::LongAgo => "available, and not started in 14 days  (DescribeEvents)".to_owned(),
                LastStart::Unclear => "available, though the last it told of is a stop  (DescribeEvents)".to_owned(),
                _ => "available".to_owned(),
            },
            (state, ..) => instance.status.as_deref().map_or(rows::state(state), |status| status).to_owned(),
        }
    }

    /// What follows from the above, where the sentence of the reason does not say it all.
    fn so(&self, settings: &Settings, row: &Row, instance: &Resource, evidence: &Evidence) -> Option<String> {
        let limit = settings.hand_start_limit;
        let after = |at: Timestamp, edge: Edge| match at.duration_since(edge.from) {
            soon if soon.as_mins() == 0 => "just".to_owned(),
            long => rough(long),
        };
        let latest = evidence.latest;
        match &row.entry.decision {
            Decision::Keep(Why::StartedByHand(hand)) => {
                let limit = limit.filter(|_| latest.is_some_and(|edge| !edge.moment));
                let limit = limit.map_or(String::new(), |limit| format!(", or for {} h", limit.as_hours()));
                Some(format!("started {} after the edge: left alone until the next one{limit}", after(hand.0, latest?)))
            }
            Decision::Keep(Why::StoppedByHand(hand)) => {
                Some(format!("stopped {} after the edge: left alone until the next one", after(hand.0, latest?)))
            }
            Decision::Keep(Why::Held(end)) => {
                let mode = evidence.hold.as_ref().map(|(hold, _)| hold.mode());
                let what = match mode {
                    Some(HoldMode::On) => "kept running",
                    Some(HoldMode::Off) => "kept stopped",
                    _ => "left as it is",
                };
                Some(format!("{what} until {}", time(*end, &evidence.zone)))
            }
            Decision::Keep(why) => why.detail().map(|detail| self.screen.text(&detail)),
            Decision::Act(action) => {
                if let Some((_, end)) = evidence.held_at(self.now) {
                    return Some(format!("the hold asks for it until {}", time(end, &evidence.zone)));
                }
                let edge = latest.filter(|edge| edge.at > Timestamp::MIN)?;
                let started = instance.launch.started_at.filter(|_| !instance.log_was_not_read());
                let since = match (action, started, &instance.last_stop) {
                    (Action::Stop, _, _) if instance.last_start == LastStart::ByAws => "started by AWS".to_owned(),
                    (Action::Stop, Some(at), _)
                        if at >= edge.from && limit.is_some_and(|limit| self.now.duration_since(at) >= limit) =>
                    {
                        "started by hand, and over the limit for that".to_owned()
                    }
                    (Action::Stop, Some(at), _) if at < edge.from => {
                        format!("started {} before the edge", rough(edge.from.duration_since(at)))
                    }
                    (Action::Start, _, LastStop::BySomebody(Some(at))) if *at < edge.from => {
                        format!("stopped {} before the edge", rough(edge.from.duration_since(*at)))
                    }
                    _ => "it has not followed the edge yet".to_owned(),
                };
                let left = if edge.moment {
                    let left = MOMENT - self.now.duration_since(edge.at);
                    format!("; a moment acts for 60 minutes, {} are left", rough(left.max(SignedDuration::ZERO)))
                } else {
                    String::new()
                };
                Some(format!("{since}: the next tick {action}s it{left}"))
            }
        }
    }

    fn next(&self, out: &mut String, account: &Account, row: &Row, instance: &Resource, evidence: &Evidence) {
        let held = evidence.held_at(self.now).map(|(_, end)| end);
        let from = held.unwrap_or(self.now);
        let mut lines: Vec<String> = Vec::new();
        let mut on = match row.planned() {
            Some(action) => action == Action::Start,
            None => matches!(instance.state, State::Running | State::Pending),
        };
        let what = |turn, on| match (turn, on) {
            (true, true) => "already running",
            (true, false) => "starts it",
            (false, true) => "stops it",
            (false, false) => "already stopped",
        };
        // What is opted out or owned by others has no next turn.
        let follows = row.reason().is_none_or(|reason| reason > Reason::InvalidHold);
        if let Some(end) = held {
            // Its end is an edge to what the schedule says then.
            let action = Some(end).filter(|_| follows).and_then(|end| ticked(account, instance, end));
            let (turn, then) = match action.map(|action| action == Action::Start) {
                Some(turn) => (rows::turn(turn), format!(": {}", what(turn, !turn))),
                None => ("", String::new()),
            };
            on = action.map_or(on, |action| action == Action::Start);
            lines.push(format!("{}  {turn:<3}  the hold ends{then}", time(end, &evidence.zone)));
        }
        if follows {
            for edge in evidence.edges_after(from).take(AHEAD) {
                let (turn, what) = (rows::turn(edge.on), what(edge.on, on));
                on = edge.on;
                lines.push(format!("{}  {turn:<3}  {what}", time(edge.at, &evidence.zone)));
            }
        }
        for (place, line) in lines.iter().enumerate() {
            let _ = writeln!(out, "{:<COLUMN$}{line}", if place == 0 { "  next" } else { "" });
        }
    }

    /// What to do about it.
    fn advice(&self, out: &mut String, looked: &Looked<'_>, row: &Row, evidence: &Evidence) {
        let Some(_) = &evidence.schedule else { return };
        let id = &row.entry.id;
        let region = row.entry.region().map_or("", |region| region.as_str());
        let name = quoted(&looked.account.name);
        let (by, long) = if self.profile {
            (format!(" -p {name} -r {region}"), format!(" --profile {name}"))
        } else {
            (format!(" -r {region}"), String::new())
        };
        let by = self.key.as_ref().map_or(by.clone(), |key| format!("{by} --tag-key {}", quoted(key)));
        let by = if id.database().is_some() { format!("{by} --services ec2,rds") } else { by };
        let aws = |verb: &str| match id {
            ResourceId::Instance(id) => format!("aws ec2 {verb}-instances{long} --region {region} --instance-ids {id}"),
            ResourceId::Database(id) => {
                let what = if id.kind() == Kind::Cluster { "cluster" } else { "instance" };
                let name = id.name();
                format!("aws rds {verb}-db-{what}{long} --region {region} --db-{what}-identifier {name}")
            }
        };
        let hold = |mode: &str| format!("stopinator hold{by} {id}{mode} --for 3h");
        let lines: &[(&str, String)] = match (row.planned(), row.reason()) {
            (Some(Action::Stop), _) => &[("to keep it", hold(""))],
            (Some(Action::Start), _) => &[("to keep it", hold(" --off"))],
            (None, Some(Reason::StartedByHand)) => &[("to stop it", aws("stop")), ("to keep it", hold(" --on"))],
            (None, Some(Reason::StoppedByHand | Reason::StopTimeUnknown | Reason::Bounced)) => {
                &[("to start it", aws("start"))]
            }
            (None, Some(Reason::Held)) => &[("to end it", format!("stopinator hold{by} {id} --clear"))],
            _ => &[],
        };
        if !lines.is_empty() {
            out.push('\n');
        }
        for (what, command) in lines {
            let _ = writeln!(out, "{}", styled_line(what, command));
        }
    }
}

fn time(at: Timestamp, zone: &TimeZone) -> String {
    on_clocks(at, zone).strftime("%a %Y-%m-%d %H:%M:%S").to_string()
}

fn styled_line(what: &str, command: &str) -> String {
    format!("{:<COLUMN$}{}", format!("  {what}"), styled(HINT, command))
}

fn last_start(started: Option<String>) -> String {
    started.map_or(String::new(), |at| format!("; its last start was at {at}"))
}
