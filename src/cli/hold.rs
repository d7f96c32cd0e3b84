//! `stopinator hold`: sets, extends and lifts the hold's tag, and says what that changes.

use std::fmt::Write as _;

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use stopinator::action::{Action, RequestedAction};
use stopinator::aws;
use stopinator::place::Region;
use stopinator::plan::Evidence;
use stopinator::reason::Reason;
use stopinator::resource::{DatabaseId, InstanceId, Resource, ResourceId, State};
use stopinator::schedule::Hold as Held;
use stopinator::settings::Scope;
use stopinator::week::Turn;

use crate::accounts::{Account, Accounts};
use crate::args::Hold;
use crate::ask::{agrees, in_accounts, in_regions, things};
use crate::failure::{Exit, Failure};
use crate::look::{Looked, Question, Waiting, look, requests, tell_what_is_missing, ticked};
use crate::rules::Rules;
use crate::screen::{BOLD, Screen, quoted, styled};
use crate::table::{Cell, table};
use crate::when::{self, Watch, name_of, short};

/// What is to be changed on one instance.
struct Change<'a> {
    account: &'a Account,
    region: Region,
    id: ResourceId,
}

pub(crate) async fn hold(hold: &Hold, watch: Watch, screen: Screen) -> Result<Exit, Failure> {
    let zone = TimeZone::system();
    let now = watch.now();
    let value = value(hold, now, &zone, screen)?;
    let rules = Rules::read(&hold.ask)?;
    let accounts = Accounts::open(&hold.ask, &rules).await?;
    let waiting = Waiting::new(hold.ask.quiet, screen);
    let instant = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let question = Question {
        action: RequestedAction::Schedule,
        instant,
        dry_run: true,
        instances: hold.instances.clone(),
        needs_all: true,
    };
    let requests = requests(&accounts, &question, &waiting).await?;
    let looked = look(&accounts, &requests, &waiting, screen, &|| ()).await?;
    waiting.over();
    if tell_what_is_missing(screen, &accounts, &looked) {
        return Err(Failure::incomplete(
            "not all that may be meant could be looked at, so nothing was changed".to_owned(),
        ));
    }
    let key = accounts.open.first().map_or(String::new(), key);
    let title = match &value {
        Some(value) => format!("{key} = {value}"),
        None => format!("{key} is taken away"),
    };
    let mut out = format!("{}\n", styled(BOLD, &screen.text(&title)));
    let (mut rows, mut changes) = (Vec::new(), Vec::new());
    for looked in &looked {
        let mut of_account: Vec<_> = looked.rows().collect();
        of_account.sort_by_key(|(row, _)| (row.entry.name.as_deref(), &row.entry.id));
        for (row, found) in of_account {
            let name = screen.name(row);
            let (does, what) = match found {
                Some((instance, evidence)) => {
                    let teller = Teller { now: instant, zone: &zone, looked, instance, evidence };
                    teller.change(value.as_deref(), row.reason())
                }
                None => (false, "AWS does not know it".to_owned()),
            };
            rows.push(vec![Cell::new(name), Cell::new(row.entry.id.as_str()), Cell::new(what)]);
            if let (true, Some(region)) = (does, row.entry.region().cloned()) {
                changes.push(Change { account: looked.account, region, id: row.entry.id.clone() });
            }
        }
    }
    out.push_str(&table(screen, &rows, 0));
    if !hold.print || changes.is_empty() {
        screen.print(&out);
    }
    if changes.is_empty() {
        screen.tell("There is nothing to change.");
        return Ok(Exit::Wrong);
    }
    if hold.print {
        screen.write(&commands(&changes, value.as_deref(), !hold.ask.profile.is_empty()));
        return Ok(Exit::Done);
    }
    let count = changes.len();
    let databases = changes.iter().filter(|change| change.id.database().is_some()).count();
    let all = things(count, databases);
    let (_, instances) = all.split_once(' ').unwrap_or_default();
    let accounts = in_accounts(changes.iter().map(|change| (change.account, 1)));
    let places = format!("{accounts}, {}", in_regions(changes.iter().map(|change| &change.region)));
    let verb = if value.is_some() { "Set it on" } else { "Take it from" };
    if !agrees(screen, &format!("{verb} {count} {instances} in {places}?"), hold.yes)? {
        screen.tell("Nothing was changed.");
        return Ok(Exit::Done);
    }
    let is_over = |value: &str| Held::parse(value).is_ok_and(|hold| hold.end(&TimeZone::UTC) <= watch.now());
    if value.as_deref().is_some_and(is_over) {
        return Err(Failure::wrong("the hold would be over by now, so nothing was changed: run it again".to_owned()));
    }
    let failed = carry_out(&looked, &changes, value.as_deref()).await;
    let done = if value.is_some() { "Set on" } else { "Taken from" };
    let set = count - failed.iter().map(|(count, _)| count).sum::<usize>();
    let of = if failed.is_empty() { String::new() } else { format!(" of {count}") };
    screen.print(&format!("{done} {set}{of} {instances}.\n"));
    for (count, why) in &failed {
        screen.tell(&format!("{count} not changed: {}", screen.text(why)));
    }
    Ok(if failed.is_empty() { Exit::Done } else { Exit::Wrong })
}

fn key(account: &Account) -> String {
    format!("{}{}", account.settings.tag_key, Held::KEY_SUFFIX)
}

/// The value to set; none where the hold is to be lifted.
fn value(hold: &Hold, now: Timestamp, zone: &TimeZone, screen: Screen) -> Result<Option<String>, Failure> {
    let end = match (&hold.for_, &hold.until) {
        _ if hold.clear => return Ok(None),
        (Some(length), _) => {
            let length = when::duration(length).map_err(|error| Failure::usage(format!("--for: {error}")))?;
            now.checked_add(length).map_err(|error| Failure::usage(format!("--for: {error}")))?
        }
        (None, Some(time)) => {
            let named = when::read(time, now, zone).map_err(|error| Failure::usage(format!("--until: {error}")))?;
            if let Some(remark) = named.remark {
                screen.tell(&remark);
            }
            named.at
        }
        (None, None) => {
            return Err(Failure::usage("for how long? give --for 3h, --until TIME, or --clear".to_owned()));
        }
    };
    if end <= now {
        return Err(Failure::usage("--until: this has passed; to end a hold give --clear".to_owned()));
    }
    // Up to a minute, which is as fine as a hold can say it.
    let down = Timestamp::from_second(end.as_second() - end.as_second().rem_euclid(60)).unwrap_or(end);
    let end = if down < end { down.saturating_add(1.minute()).unwrap_or(end) } else { end };
    let mode = match (hold.on, hold.off) {
        (true, _) => "on ",
        (_, true) => "off ",
        _ => "",
    };
    let written = |zone: &TimeZone| {
        let local = zone.to_datetime(end);
        format!("{mode}until {} {}", local.strftime("%Y-%m-%d %H:%M"), name_of(zone))
    };
    // A local time that comes twice means the first, and a zone without a name cannot be written.
    let means = |value: &str| Held::parse(value).is_ok_and(|hold| hold.end(&TimeZone::UTC) == end);
    let value = Some(written(zone)).filter(|value| means(value)).unwrap_or_else(|| written(&TimeZone::UTC));
    Ok(Some(value))
}

struct Teller<'a> {
    now: Timestamp,
    zone: &'a TimeZone,
    looked: &'a Looked<'a>,
    instance: &'a Resource,
    evidence: &'a Evidence,
}

impl Teller<'_> {
    /// Whether the hold changes anything, and what.
    fn change(&self, value: Option<&str>, reason: Option<Reason>) -> (bool, String) {
        match reason {
            Some(Reason::PlainTag) => {
                return match value {
                    Some(_) => (true, "the stop rule and the start rule heed it".to_owned()),
                    None if self.instance.hold.is_none() => (false, "has no hold".to_owned()),
                    None => (true, "follows the stop rule and the start rule again".to_owned()),
                };
            }
            // A hold that does not parse can be replaced.
            Some(Reason::NotSelected)
                if self.looked.account.settings.scope == Scope::All && self.instance.id.database().is_none() =>
            {
                return match value {
                    Some(_) => (true, "the stop rule heeds it".to_owned()),
                    None => (self.instance.hold.is_some(), "follows the stop rule".to_owned()),
                };
            }
            Some(reason) if reason < Reason::InvalidHold => {
                return (false, format!("{}: a hold changes nothing", reason.as_str()));
            }
            _ => {}
        }
        if value.is_none() && self.instance.hold.is_none() {
            return (false, "has no hold".to_owned());
        }
        let changed = Resource { hold: value.map(Into::into), ..self.instance.clone() };
        let evidence = Evidence::of(&changed, &self.looked.account.settings.time_zone, self.now);
        let (before, after) = (self.told(self.instance, self.evidence), self.told(&changed, &evidence));
        let before = before.map_or_else(
            || "would have stayed as it is".to_owned(),
            |(now, turn)| match turn {
                Some(turn) if !now => {
                    format!("would have {} at {}", verb(turn.on, "started", "stopped"), self.time(turn.at))
                }
                Some(turn) => format!("would {} on the next tick", verb(turn.on, "start", "stop")),
                None => "would have stayed as it is".to_owned(),
            },
        );
        let after = after.map_or_else(
            || "stays as it is".to_owned(),
            |(now, turn)| match turn {
                Some(turn) if !now => format!("{} at {}", verb(turn.on, "starts", "stops"), self.time(turn.at)),
                Some(turn) => format!("{} on the next tick", verb(turn.on, "starts", "stops")),
                None => "stays as it is".to_owned(),
            },
        );
        (true, format!("{before}, {after}"))
    }

    /// Today the time alone.
    fn time(&self, at: Timestamp) -> String {
        let local = self.zone.to_datetime(at);
        if local.date() == self.zone.to_datetime(self.now).date() {
            local.strftime("%H:%M").to_string()
        } else {
            short(at, self.now, self.zone)
        }
    }

    /// What happens to an instance next: whether that is now, and when it turns.
    fn told(&self, instance: &Resource, evidence: &Evidence) -> Option<(bool, Option<Turn>)> {
        let account = self.looked.account;
        let decided_at = |instant| ticked(account, instance, instant).map(|action| action == Action::Start);
        if let Some(on) = decided_at(self.now) {
            return Some((true, Some(Turn { at: self.now, on })));
        }
        let schedule = evidence.schedule.as_ref()?;
        let runs = matches!(instance.state, State::Running | State::Pending);
        let held = evidence.held_at(self.now).map(|(_, until)| until);
        // The end of a hold is a tick like any other; after it, the first edge that changes anything.
        if let Some((until, on)) = held.and_then(|until| Some((until, decided_at(until)?))) {
            return Some((false, Some(Turn { at: until, on })));
        }
        let edges = schedule.edges_after(&account.settings.time_zone, held.unwrap_or(self.now));
        let turn = edges.take(64).find(|edge| edge.on != runs).map(|edge| Turn { at: edge.at, on: edge.on });
        Some((false, turn))
    }
}

fn verb(on: bool, start: &'static str, stop: &'static str) -> &'static str {
    if on { start } else { stop }
}

/// Sets the tag, or takes it away, region by region; where that fails, of how many and why. One that fails costs no other.
async fn carry_out(looked: &[Looked<'_>], changes: &[Change<'_>], value: Option<&str>) -> Vec<(usize, String)> {
    let mut failed = Vec::new();
    for looked in looked {
        for (place, ec2) in looked.run.ec2() {
            let here =
                changes.iter().filter(|change| change.account.id == looked.account.id && change.region == place.region);
            let ids: Vec<&ResourceId> = here.map(|change| &change.id).collect();
            let instances: Vec<InstanceId> = ids.iter().filter_map(|id| id.instance()).collect();
            let keys = keys(looked.account, value);
            if let Err(error) = aws::hold::tag(ec2, &instances, &keys, value).await {
                failed.push((instances.len(), format!("{} {place}: {error}", looked.account.name)));
            }
            for id in ids.iter().filter_map(|id| id.database()) {
                let Some(rds) = looked.run.rds().get(place) else { continue };
                let arn = arn(id, &place.region, &looked.account.id);
                if let Err(error) = aws::hold::tag_database(rds, &arn, &keys, value).await {
                    failed.push((1, format!("{} {place}: {id}: {error}", looked.account.name)));
                }
            }
        }
    }
    failed
}

/// The ARN of a database, by which RDS tags it.
fn arn(id: &DatabaseId, region: &Region, account: &str) -> String {
    let partition = match region.as_str() {
        china if china.starts_with("cn-") => "aws-cn",
        government if government.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    };
    format!("arn:{partition}:rds:{region}:{account}:{id}")
}

/// The hold's key. In doubt, one in other letters holds too, so to take a hold away is to take away all of them.
fn keys(account: &Account, value: Option<&str>) -> Vec<String> {
    let mut keys = vec![key(account)];
    if value.is_none() {
        let letters = Held::KEY_SUFFIX.len();
        keys.extend((0..1_u32 << letters).map(|capitals| {
            let letter = |(place, letter): (usize, char)| {
                if capitals & (1 << place) == 0 { letter.to_ascii_lowercase() } else { letter.to_ascii_uppercase() }
            };
            let suffix: String = Held::KEY_SUFFIX.chars().enumerate().map(letter).collect();
            format!("{}{suffix}", account.settings.tag_key)
        }));
        keys.sort_unstable();
        keys.dedup();
    }
    keys
}

/// What the AWS CLI would be told, a command for each region of each account.
fn commands(changes: &[Change<'_>], value: Option<&str>, by_profile: bool) -> String {
    let mut out = String::new();
    let mut done: Vec<(&str, &Region)> = Vec::new();
    for change in changes {
        let place = (change.account.id.as_str(), &change.region);
        if done.contains(&place) {
            continue;
        }
        done.push(place);
        let here = || changes.iter().filter(|other| (other.account.id.as_str(), &other.region) == place);
        let ids: Vec<InstanceId> = here().filter_map(|change| change.id.instance()).collect();
        let profile = if by_profile { format!(" --profile {}", quoted(&change.account.name)) } else { String::new() };
        let key = key(change.account);
        let (verb, tag) = match value {
            Some(value) => ("create", format!("Key={key},Value={value}")),
            None => ("delete", format!("Key={key}")),
        };
        if !ids.is_empty() {
            let ids: Vec<&str> = ids.iter().map(InstanceId::as_str).collect();
            let _ = writeln!(
                out,
                "aws ec2 {verb}-tags{profile} --region {} --resources {} --tags {}",
                change.region,
                ids.join(" "),
                quoted(&tag)
            );
        }
        for id in here().filter_map(|change| change.id.database()) {
            let (verb, tags) = match value {
                Some(_) => ("add-tags-to", format!("--tags {}", quoted(&tag))),
                None => ("remove-tags-from", format!("--tag-keys {}", quoted(&key))),
            };
            let arn = arn(id, &change.region, &change.account.id);
            let region = &change.region;
            let _ = writeln!(out, "aws rds {verb}-resource{profile} --region {region} --resource-name {arn} {tags}");
        }
    }
    out
}
