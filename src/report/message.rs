//! What people read in a chat or a mail: of a run, of what is to be mended, and of a stop that is ahead. In markdown as
//! chats have it; what others wrote into tags stands between backticks, where nothing of it means anything.

use std::collections::BTreeMap;
use std::fmt::Write;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::rows::{Report, Row};
use crate::action::{Action, Outcome, RequestedAction};
use crate::place::{AccountId, Place};
use crate::plan::{Decision, Notice};
use crate::quote;
use crate::reason::Reason;
use crate::request::Request;
use crate::schedule::Hold;
use crate::settings::{Scope, Settings};

/// How many names stand in a line.
const NAMES: usize = 20;
/// How many that are not as planned have a line of their own.
const LINES: usize = 10;
/// How much longer a notice offers to keep what it is about.
const LONGER: SignedDuration = SignedDuration::from_hours(2);
/// And where the hour of the stop is not known: past the next run of the rule, in any case.
const PAST_THE_RULE: SignedDuration = SignedDuration::from_hours(24);
/// The longest text, in letters: an event may have 64 kB.
const LONGEST: usize = 4_000;
/// The longest name in a text, in letters.
const LONGEST_NAME: usize = 60;
/// When of a day it is told what is to be mended, in the deployment's zone.
const DIGEST_HOUR: i8 = 9;

/// A message to people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Message {
    /// One line.
    pub title: String,
    /// Lines in markdown.
    pub text: String,
    /// What belongs together: one for each day.
    pub thread: String,
}

impl Message {
    fn new(title: String, text: &str, at: Timestamp, zone: &TimeZone) -> Self {
        let thread = format!("stopinator-{}", zone.to_datetime(at).date());
        let text = text.trim_end();
        let end = text.char_indices().nth(LONGEST).map_or(text.len(), |(end, _)| end);
        let more = if end < text.len() { "…" } else { "" };
        Self { title, text: format!("{}{more}", &text[..end]), thread }
    }
}

/// What a run has to say to people, if anything: what it did; and what went wrong, once.
///
/// A protected instance is refused on every tick. So on a tick a refusal, or a failure, is told only where what was due
/// came due since the tick before: the alarms and the log go on about it.
#[must_use]
pub fn of_run(report: &Report, request: &Request, settings: &Settings, own: Option<AccountId>) -> Option<Message> {
    if report.dry_run {
        return None;
    }
    let news: Vec<&Row> = report.instances.iter().filter(|row| is_news(row, request)).collect();
    if news.is_empty() {
        return None;
    }
    let zone = &settings.time_zone;
    let mut counts: BTreeMap<(u8, &str), usize> = BTreeMap::new();
    let mut went_well: BTreeMap<(u8, String), Vec<&Row>> = BTreeMap::new();
    let mut others = Vec::new();
    for row in &news {
        let (Some(action), Some(outcome)) = (row.planned(), row.outcome) else { continue };
        let (place, word) = word(action, outcome);
        *counts.entry((place, word)).or_default() += 1;
        if matches!(outcome, Outcome::Confirmed | Outcome::Accepted) {
            let on = row.entry.until.as_ref().and_then(|until| until.on).filter(|_| action == Action::Stop);
            let until = on.map_or(String::new(), |on| format!(", off until {}", on_clocks(on, zone)));
            went_well.entry((place, format!("{}{until}", capital(word)))).or_default().push(row);
        } else {
            others.push((*row, word));
        }
    }
    let title: Vec<String> = counts.iter().map(|((_, word), count)| format!("{count} {word}")).collect();
    let mut text = String::new();
    let more = went_well.len().saturating_sub(LINES);
    for ((_, what), rows) in went_well.into_iter().take(LINES) {
        let _ = writeln!(text, "{what}: {}", names(rows.iter().map(|row| name(row))));
    }
    if more > 0 {
        let _ = writeln!(text, "and more, off until other times");
    }
    for (row, word) in others.iter().take(LINES) {
        let _ = writeln!(text, "{}: {}{}", capital(word), name(row), why(row));
    }
    if others.len() > LINES {
        let _ = writeln!(text, "and {} more that are not as planned", others.len() - LINES);
    }
    text.push_str(&places(news.iter().filter_map(|row| row.entry.place.as_ref()), own));
    Some(Message::new(title.join(", "), &text, report.time, zone))
}

/// Once a day, on the tick of nine o'clock in the deployment's zone: what somebody has to mend.
#[must_use]
pub fn digest(report: &Report, request: &Request, settings: &Settings, own: Option<AccountId>) -> Option<Message> {
    let zone = &settings.time_zone;
    let tick = request.tick.filter(|_| request.action == RequestedAction::Schedule && !report.dry_run)?;
    let nine = zone.to_timestamp(zone.to_datetime(request.time).date().at(DIGEST_HOUR, 0, 0, 0)).ok()?;
    if nine > request.time || request.time.duration_since(nine) >= tick {
        return None;
    }
    let to_mend: Vec<&Row> = report.instances.iter().filter(|row| is_to_mend(row)).collect();
    let unreachable = report.unreachable.len();
    if to_mend.is_empty() && unreachable == 0 {
        return None;
    }
    let mut text = String::new();
    for row in to_mend.iter().take(LINES) {
        let _ = writeln!(text, "{}{}", name(row), why(row));
    }
    if to_mend.len() > LINES {
        let _ = writeln!(text, "and {} more", to_mend.len() - LINES);
    }
    if unreachable > 0 {
        let _ = writeln!(text, "Accounts, or regions of them, out of reach: {unreachable}");
    }
    text.push_str(&places(to_mend.iter().filter_map(|row| row.entry.place.as_ref()), own));
    Some(Message::new(format!("{} to mend", to_mend.len() + unreachable), &text, report.time, zone))
}

/// A notice of stops that are ahead: all of one owner's, at one time in one zone.
#[must_use]
pub fn of_notice(notices: &[Notice<'_>], request: &Request, settings: &Settings, own: Option<AccountId>) -> Message {
    let at = notices.first().and_then(|notice| notice.at);
    let zone = notices.first().map_or(&settings.time_zone, |notice| &notice.zone);
    let who: Vec<String> =
        notices.iter().map(|notice| label(notice.resource.name.as_deref(), notice.resource.id.as_str())).collect();
    let subject = match &*who {
        few @ ([_] | [_, _] | [_, _, _]) => listed(few),
        many => format!("{} machines", many.len()),
    };
    let verb = if who.len() == 1 { "stops" } else { "stop" };
    let title = match at {
        Some(at) => {
            let minutes = at.duration_since(request.instant).as_mins();
            format!("{subject} {verb} at {}, in {minutes} minutes", in_zone(at, zone, "%H:%M %Z"))
        }
        None => format!("{subject} {verb} with the next run of the stop rule"),
    };
    let mut text = String::new();
    if who.len() > 3 {
        let _ = writeln!(text, "{}", names(who.iter().cloned()));
    }
    if let Some(owner) = notices.first().and_then(|notice| notice.resource.owner()) {
        let _ = writeln!(text, "For {}", coded(owner, LONGEST_NAME));
    }
    let mut on: Vec<Option<Timestamp>> = notices.iter().map(|notice| notice.on_at).collect();
    on.dedup();
    if let [Some(on)] = &*on {
        let _ = writeln!(text, "Off until {}", on_clocks(*on, zone));
    }
    let until = keep_until(at, request, zone);
    let databases = notices.iter().any(|notice| notice.resource.id.database().is_some());
    let services = if databases { " --services ec2,rds" } else { "" };
    let ids: Vec<&str> = notices.iter().take(NAMES).map(|notice| notice.resource.id.as_str()).collect();
    let mut regions: Vec<&str> = notices.iter().map(|notice| notice.resource.place.region.as_str()).collect();
    regions.sort_unstable();
    regions.dedup();
    let regions: Vec<String> = regions.into_iter().map(|region| format!(" -r {region}")).collect();
    let key = &settings.tag_key;
    let mut flags = String::new();
    if &**key != "Stopinator" {
        let _ = write!(flags, " --tag-key {key}");
    }
    if settings.scope == Scope::All {
        flags.push_str(" --scope all");
    }
    let what = match at {
        Some(_) => format!("Keep until {}", in_zone(until, zone, "%H:%M")),
        None => "Leave out of the next run".to_owned(),
    };
    let first = if notices.len() > NAMES { format!(" the first {NAMES}") } else { String::new() };
    let _ = writeln!(
        text,
        "{what}{first}: `stopinator hold {}{}{services}{flags} --until {}`",
        ids.join(" "),
        regions.concat(),
        // Whoever copies it may live by other clocks.
        in_zone(until, zone, "%Y-%m-%dT%H:%M:%S%:z"),
    );
    let hold_key = coded(&format!("{key}{}", Hold::KEY_SUFFIX), 128);
    let _ = writeln!(text, "or set the tag {hold_key} to `until {}`", in_zone(until, zone, "%Y-%m-%dT%H:%M"));
    // The console of other partitions has other addresses.
    let has_console = |place: &Place| {
        !["cn-", "us-gov-", "us-iso", "eusc-"].iter().any(|other| place.region.as_str().starts_with(other))
    };
    let linked = |notice: &&Notice<'_>| notice.resource.id.instance().is_some() && has_console(&notice.resource.place);
    for notice in notices.iter().filter(linked).take(5) {
        let (region, id) = (&notice.resource.place.region, &notice.resource.id);
        let _ = writeln!(
            text,
            "<https://{region}.console.aws.amazon.com/ec2/home?region={region}#ManageInstanceTags:instanceId={id}|tags of {id}>"
        );
    }
    text.push_str(&places(notices.iter().map(|notice| &notice.resource.place), own));
    Message::new(title, &text, request.time, &settings.time_zone)
}

/// Until when a notice offers to keep what it is about, in whole minutes.
#[must_use]
pub fn keep_until(at: Option<Timestamp>, request: &Request, zone: &TimeZone) -> Timestamp {
    let (from, longer) = at.map_or((request.instant, PAST_THE_RULE), |at| (at, LONGER));
    let kept = from.checked_add(longer).unwrap_or(from);
    let minute = zone.to_datetime(kept).with().second(0).subsec_nanosecond(0).build();
    minute.ok().and_then(|minute| zone.to_timestamp(minute).ok()).unwrap_or(kept)
}

fn is_news(row: &Row, request: &Request) -> bool {
    match row.outcome {
        None => false,
        Some(Outcome::Confirmed | Outcome::Accepted) => true,
        Some(_) => is_new(row, request),
    }
}

/// Whether it came due since the tick before; where nobody says how far ticks lie apart, or what is asked is no tick,
/// everything did.
fn is_new(row: &Row, request: &Request) -> bool {
    let (RequestedAction::Schedule, Some(tick)) = (request.action, request.tick) else { return true };
    let since = row.entry.until.as_ref().and_then(|until| until.since);
    since.is_some_and(|since| since <= request.time && request.time.duration_since(since) < tick)
}

/// A tag that does not parse, a database with a fault, or one that does not arrive.
fn is_to_mend(row: &Row) -> bool {
    let mended_by_somebody = [Reason::InvalidSchedule, Reason::InvalidHold, Reason::Unhealthy];
    let is_kept = matches!(row.entry.decision, Decision::Keep(_));
    is_kept && (row.reason().is_some_and(|reason| mended_by_somebody.contains(&reason)) || row.is_unsettled())
}

/// What became of it, for people; and where that stands in a line.
fn word(action: Action, outcome: Outcome) -> (u8, &'static str) {
    match (outcome, action) {
        (Outcome::Confirmed, Action::Stop) => (0, "stopped"),
        (Outcome::Accepted, Action::Stop) => (1, "stopping"),
        (Outcome::Confirmed, Action::Start) => (2, "started"),
        (Outcome::Accepted, Action::Start) => (3, "starting"),
        (Outcome::Refused, _) => (4, "refused"),
        (Outcome::Failed, _) => (5, "failed"),
        (Outcome::NotAttempted, _) => (6, "not attempted"),
    }
}

/// `: the reason: what AWS said`, as far as there is more to say.
fn why(row: &Row) -> String {
    let reason = row.reason().map_or(String::new(), |reason| format!(": `{}`", reason.as_str()));
    let detail = row.detail().map_or(String::new(), |detail| format!(": {}", coded(&quote::sentence(&detail), 450)));
    format!("{reason}{detail}")
}

fn name(row: &Row) -> String {
    label(row.entry.name.as_deref(), row.entry.id.as_str())
}

/// A name, or else the id.
fn label(name: Option<&str>, id: &str) -> String {
    let named = coded(name.unwrap_or_default(), LONGEST_NAME);
    // Of a name that shows nothing the backticks would stand alone, and let others out of theirs.
    if named == "``" { coded(id, LONGEST_NAME) } else { named }
}

fn names(all: impl Iterator<Item = String>) -> String {
    let all: Vec<String> = all.collect();
    let more = all.len().saturating_sub(NAMES);
    let shown = all[..all.len() - more].join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}

fn listed(few: &[String]) -> String {
    match few {
        [] => String::new(),
        [only] => only.clone(),
        [others @ .., last] => format!("{} and {last}", others.join(", ")),
    }
}

/// In which accounts and regions; where there is no other, in the function's own.
fn places<'a>(all: impl Iterator<Item = &'a Place>, own: Option<AccountId>) -> String {
    let of = |place: &'a Place| (place.account.or(own), place.region.as_str());
    let (mut accounts, mut regions): (Vec<_>, Vec<_>) = all.map(of).unzip();
    accounts.sort_unstable();
    accounts.dedup();
    regions.sort_unstable();
    regions.dedup();
    let regions = match &*regions {
        few @ ([] | [_] | [_, _] | [_, _, _]) => few.join(", "),
        many => format!("{} regions", many.len()),
    };
    match &*accounts {
        [Some(account)] => format!("Account {account}, {regions}"),
        [] | [None] => regions,
        many => format!("{} accounts, {regions}", many.len()),
    }
}

/// Text of others between backticks: no line of its own, nothing that ends them, and no longer than a line.
fn coded(text: &str, longest: usize) -> String {
    let harmless = text.chars().map(|c| match c {
        '`' => '\'',
        '<' => '‹',
        '>' => '›',
        // Those that turn the direction of writing among them.
        c if c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}') =>
        {
            ' '
        }
        c => c,
    });
    let mut harmless: String = harmless.take(longest + 1).collect();
    if let Some((end, _)) = harmless.char_indices().nth(longest) {
        harmless.truncate(end);
        harmless.push('…');
    }
    format!("`{}`", harmless.trim())
}

fn on_clocks(at: Timestamp, zone: &TimeZone) -> String {
    in_zone(at, zone, "%a %-d %b %H:%M %Z")
}

fn in_zone(at: Timestamp, zone: &TimeZone, form: &str) -> String {
    at.to_zoned_datetime(zone.clone()).strftime(form).to_string()
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}
