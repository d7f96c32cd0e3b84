//! `stopinator plan`: what a run would do, and why.

use std::cell::Cell as Flag;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use stopinator::action::{Action, RequestedAction};
use stopinator::place::AccountId;
use stopinator::plan::{Ahead, Evidence, by_owner};
use stopinator::reason::Reason;
use stopinator::report::message::{Message, of_notice};
use stopinator::report::{Counts, Row};
use stopinator::resource::Resource;

use crate::accounts::Accounts;
use crate::args::{Output, Plan};
use crate::failure::{Exit, Failure};
use crate::look::{Looked, Question, Waiting, instant, look, nothing_found, requests, tell_what_is_missing, tick};
use crate::rows;
use crate::rules::{Rules, by_settings};
use crate::screen::{BOLD, START, STOP, Screen, WRONG, styled};
use crate::table::{Cell, table};
use crate::when::{on_clocks, short};

/// What somebody must look after, beside what is to be done.
const TO_MEND: [Reason; 4] = [Reason::InvalidSchedule, Reason::InvalidHold, Reason::Bounced, Reason::StopTimeUnknown];

pub(crate) async fn plan(plan: &Plan, now: Timestamp, screen: Screen) -> Result<Exit, Failure> {
    let zone = TimeZone::system();
    let instant = instant(plan.at.as_deref(), now, &zone, screen)?;
    let mut rules = Rules::read(&plan.ask)?;
    if let Some(minutes) = plan.notice {
        rules.set("STOPINATOR_EVENTS", "--notice", "true".to_owned());
        rules.set("STOPINATOR_NOTICE_MINUTES", "--notice", minutes.to_string());
    }
    let accounts = Accounts::open(&plan.ask, &rules).await?;
    let waiting = Waiting::new(plan.ask.quiet, screen);
    let question = Question {
        action: plan.action.into(),
        instant,
        dry_run: true,
        instances: plan.instances.clone(),
        needs_all: false,
    };
    let requests = requests(&accounts, &question, &waiting).await?;
    let view = View {
        screen,
        zone: &zone,
        now,
        instant,
        action: question.action,
        all: plan.all || !plan.instances.is_empty(),
    };
    let header_is_out = Flag::new(false);
    let header = || {
        if plan.output == Output::Table && !header_is_out.replace(true) {
            waiting.pause(|| screen.print(&view.header(&accounts)));
        }
    };
    if plan.notice.is_some() {
        let looked = look(&accounts, &requests, &waiting, screen, &|| ()).await?;
        let incomplete = waiting.pause(|| tell_what_is_missing(screen, &accounts, &looked));
        waiting.over();
        screen.print(&notices(screen, &looked, instant));
        return Ok(exit(false, incomplete, &looked));
    }
    let looked = look(&accounts, &requests, &waiting, screen, &header).await?;
    let found = looked.iter().any(|looked| !looked.report.instances.is_empty());
    let incomplete = waiting.pause(|| tell_what_is_missing(screen, &accounts, &looked));
    match plan.output {
        Output::Json => screen.write(&rows::json(&accounts, &looked, &question)?),
        Output::Csv => screen.write(&rows::csv(&looked, &question)?),
        Output::Table if found => {
            header();
            let body = view.body(&accounts, &looked);
            waiting.over();
            screen.print(&body);
        }
        Output::Table => {
            waiting.say("looking for other tags");
            let nothing = nothing_found(&accounts, &looked).await;
            waiting.over();
            screen.tell(&nothing);
        }
    }
    waiting.over();
    Ok(exit(plan.exit_code, incomplete, &looked))
}

/// The notices that a tick at an instant sends, as they are read.
fn notices(screen: Screen, looked: &[Looked<'_>], instant: Timestamp) -> String {
    let mut out = String::new();
    for looked in looked {
        let settings = &looked.account.settings;
        let tick = tick(settings, instant);
        let Some(ahead) = Ahead::of(settings, &tick) else { continue };
        let found = looked.instances.iter().flatten().map(|(resource, _)| resource);
        for group in by_owner(stopinator::plan::notices(settings, &ahead, found)) {
            let Message { title, text, .. } =
                of_notice(&group, &tick, settings, AccountId::try_from(looked.account.id.clone()).ok());
            let _ = writeln!(out, "{}", styled(BOLD, &title));
            // Links are for where one can click.
            for line in text.lines().filter(|line| !line.starts_with('<')) {
                let line = format!("  {line}");
                // What is to be copied stays in one line.
                let line = if line.contains("`stopinator ") { line } else { screen.wrap(&line, 2) };
                let _ = writeln!(out, "{line}");
            }
            out.push('\n');
        }
    }
    if out.is_empty() { "No stop is ahead that this tick would tell.\n".to_owned() } else { out }
}

fn exit(by_what_was_found: bool, incomplete: bool, looked: &[Looked<'_>]) -> Exit {
    let rows = || looked.iter().flat_map(|looked| &looked.report.instances);
    let invalid = |row: &Row| matches!(row.reason(), Some(Reason::InvalidSchedule | Reason::InvalidHold));
    match by_what_was_found {
        _ if incomplete => Exit::Incomplete,
        true if rows().any(invalid) => Exit::Wrong,
        true if rows().any(|row| row.planned().is_some()) => Exit::Due,
        _ => Exit::Done,
    }
}

/// How a plan is shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) screen: Screen,
    /// The reader's.
    pub(crate) zone: &'a TimeZone,
    pub(crate) now: Timestamp,
    pub(crate) instant: Timestamp,
    pub(crate) action: RequestedAction,
    pub(crate) all: bool,
}

impl View<'_> {
    /// What it is a plan for, and by which settings.
    pub(crate) fn header(&self, accounts: &Accounts) -> String {
        let of = match self.action {
            RequestedAction::Schedule => "Plan for",
            RequestedAction::Stop => "Plan of the stop rule for",
            RequestedAction::Start => "Plan of the start rule for",
        };
        let at = on_clocks(self.instant, self.zone);
        let title = styled(BOLD, &format!("{of} {}", at.strftime("%A %-d %B %Y, %H:%M %Z")));
        let settings =
            accounts.open.first().map_or(String::new(), |account| by_settings(&account.settings, self.screen));
        let as_they_are = if self.now.as_second() == self.instant.as_second() {
            String::new()
        } else {
            format!("; the instances as they are at {}", on_clocks(self.now, self.zone).strftime("%H:%M"))
        };
        format!("{title}\n{}\n\n", self.screen.wrap(&format!("{settings}{as_they_are}"), 2))
    }

    /// The rows of every account, and the sums.
    pub(crate) fn body(&self, accounts: &Accounts, looked: &[Looked<'_>]) -> String {
        let mut out = String::new();
        let several = accounts.open.len() > 1;
        let shown: Vec<&Looked<'_>> = looked.iter().filter(|looked| !looked.report.instances.is_empty()).collect();
        for looked in &shown {
            if several {
                let account = looked.account;
                let counts = sums(looked.report.counts());
                let _ = writeln!(out, "{}: {counts}", styled(BOLD, &format!("{} ({})", account.name, account.id)));
            }
            out.push_str(&self.rows(looked, one_region(accounts)));
            out.push('\n');
        }
        let mut all = Counts::default();
        for counts in shown.iter().map(|looked| looked.report.counts()) {
            all = Counts { kept: all.kept + counts.kept, planned: all.planned + counts.planned, ..all };
        }
        let planned = |action| {
            shown.iter().flat_map(|looked| &looked.report.instances).filter(|row| row.planned() == Some(action)).count()
        };
        let (stops, starts) = (planned(Action::Stop), planned(Action::Start));
        let whole = if several { format!("In {} accounts: ", shown.len()) } else { String::new() };
        let _ = writeln!(out, "{whole}{stops} to stop, {starts} to start, {} kept. Nothing was changed.", all.kept);
        out
    }

    fn rows(&self, looked: &Looked<'_>, one_region: bool) -> String {
        let listed =
            |row: &Row| self.all || row.planned().is_some() || row.reason().is_some_and(|r| TO_MEND.contains(&r));
        let order = |row: &Row| match (row.planned(), row.reason()) {
            (Some(Action::Stop), _) => 0,
            (Some(Action::Start), _) => 1,
            (None, Some(reason)) if TO_MEND.contains(&reason) => 2,
            _ => 3,
        };
        let mut rows: Vec<(&Row, Option<&(Resource, Evidence)>)> =
            looked.rows().filter(|(row, _)| listed(row)).collect();
        rows.sort_by_key(|(row, _)| (order(row), row.entry.name.as_deref(), &row.entry.id));
        let cells: Vec<Vec<Cell>> = rows.iter().map(|(row, instance)| self.cells(row, *instance, one_region)).collect();
        let lines = table(self.screen, &cells, 1);
        // What is wrong with a tag stands below its row.
        let mut out = String::new();
        let mut rows = rows.into_iter();
        for line in lines.lines() {
            let begins_a_row = !line.starts_with("    ");
            if begins_a_row && let Some((row, instance)) = rows.next() {
                out.push_str(line);
                out.push('\n');
                if let Some(wrong) = self.wrong(row, instance) {
                    out.push_str(&wrong);
                }
            } else {
                out.push_str(line);
                out.push('\n');
            }
        }
        let mut kept: BTreeMap<Reason, usize> = BTreeMap::new();
        for reason in looked.report.instances.iter().filter(|row| !listed(row)).filter_map(Row::reason) {
            *kept.entry(reason).or_default() += 1;
        }
        if !kept.is_empty() {
            let mut by_count: Vec<_> = kept.iter().map(|(reason, count)| (*count, reason.as_str())).collect();
            by_count.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
            let reasons: Vec<String> =
                by_count.into_iter().map(|(count, reason)| format!("{count} {reason}")).collect();
            let more = if cells.is_empty() { "" } else { " more" };
            let line = format!("  keep   {}{more}: {}", kept.values().sum::<usize>(), reasons.join(", "));
            let _ = writeln!(out, "{}", self.screen.wrap(&line, 9));
        }
        out
    }

    fn cells(&self, row: &Row, instance: Option<&(Resource, Evidence)>, one_region: bool) -> Vec<Cell> {
        let (word, style) = match row.planned() {
            Some(Action::Stop) => ("stop ", STOP),
            Some(Action::Start) => ("start", START),
            None if row.reason().is_some_and(|reason| TO_MEND.contains(&reason)) => ("keep ", WRONG),
            None => ("keep ", clap::builder::styling::Style::new()),
        };
        let mut cells = vec![Cell::new(word).styled(style)];
        cells.push(Cell::new(self.screen.name(row)));
        cells.push(Cell::new(row.entry.id.as_str()));
        if !one_region {
            cells.push(Cell::new(row.entry.region().map_or("-", |region| region.as_str())));
        }
        cells.push(Cell::new(self.note(row, instance)));
        cells
    }

    /// Until when an action holds, or why there is none.
    fn note(&self, row: &Row, instance: Option<&(Resource, Evidence)>) -> String {
        let until = |at: Timestamp| format!("until {}", short(at, self.instant, self.zone));
        match row.planned() {
            Some(Action::Stop) => row.entry.until.as_ref().and_then(|until| until.off).map_or(String::new(), until),
            Some(Action::Start) => {
                let held = instance.and_then(|(_, evidence)| evidence.held_at(self.instant)).map(|(_, end)| end);
                let stays = |end| instance.is_some_and(|(_, evidence)| evidence.is_on_after_hold(end));
                let from = held.filter(|end| stays(*end)).unwrap_or(self.instant);
                let off = || instance?.1.edges_after(from).take(16).find(|edge| !edge.on).map(|edge| edge.at);
                held.filter(|end| !stays(*end)).or_else(off).map_or(String::new(), until)
            }
            None => {
                let reason = row.reason().map_or("", Reason::as_str);
                match row.detail().filter(|_| self.all && self.wrong(row, instance).is_none()) {
                    Some(detail) => format!("{reason}: {}", self.screen.text(&detail)),
                    None => reason.to_owned(),
                }
            }
        }
    }

    /// What is wrong with an instance's tag or hold, or what EC2 said of it.
    fn wrong(&self, row: &Row, instance: Option<&(Resource, Evidence)>) -> Option<String> {
        let reason = row.reason().filter(|reason| TO_MEND.contains(reason))?;
        let detail = self.screen.text(&row.detail()?);
        let value = match reason {
            Reason::InvalidSchedule => Some(("tag", instance?.0.tag.as_deref()?)),
            Reason::InvalidHold => Some(("hold", instance?.0.hold.as_deref()?)),
            _ => None,
        };
        let text = match value {
            Some((what, value)) => format!("         {what} `{}`: {detail}", self.screen.text(value)),
            None => format!("         {detail}"),
        };
        Some(self.screen.wrap(&text, 9) + "\n")
    }
}

fn one_region(accounts: &Accounts) -> bool {
    let mut regions = accounts.open.iter().flat_map(|account| &account.settings.regions);
    let first = regions.next();
    regions.all(|region| Some(region) == first)
}

fn sums(counts: Counts) -> String {
    format!("{} found, {} to act on, {} kept", counts.found, counts.planned, counts.kept)
}
