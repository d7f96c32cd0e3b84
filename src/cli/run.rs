//! `stopinator run`: does what plan shows, after a question.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use stopinator::action::{Action, Outcome};
use stopinator::report::Row;
use stopinator::run::Progress;

use crate::accounts::Accounts;
use crate::args::Run;
use crate::ask::{agrees, in_accounts, in_regions, things};
use crate::failure::{Exit, Failure};
use crate::look::{Looked, Question, Waiting, look, nothing_found, requests, tell_what_is_missing};
use crate::plan::View;
use crate::rules::Rules;
use crate::screen::{BOLD, Screen, WRONG, styled};
use crate::table::{Cell, table};
use crate::when::Watch;

/// A plan that is older than this is looked at anew: somebody may have started what it would stop.
const STALE: SignedDuration = SignedDuration::from_mins(5);

pub(crate) async fn run(run: &Run, watch: Watch, screen: Screen) -> Result<Exit, Failure> {
    let mut rules = Rules::read(&run.ask)?;
    if let Some(most) = run.max_actions {
        rules.set("STOPINATOR_MAX_ACTIONS", "--max-actions", most.to_string());
    }
    if run.no_verify {
        rules.set("STOPINATOR_VERIFY_SECONDS", "--no-verify", "0".to_owned());
    }
    let accounts = Accounts::open(&run.ask, &rules).await?;
    let waiting = Waiting::new(run.ask.quiet, screen);
    // Signing in may have taken a while.
    let now = watch.now();
    let instant = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let question = Question {
        action: run.action.into(),
        instant,
        dry_run: false,
        instances: run.instances.clone(),
        needs_all: true,
    };
    let requests = requests(&accounts, &question, &waiting).await?;
    let mut looked = look(&accounts, &requests, &waiting, screen, &|| ()).await?;
    let incomplete = waiting.pause(|| tell_what_is_missing(screen, &accounts, &looked));
    let exit = if incomplete { Exit::Incomplete } else { Exit::Done };
    if looked.iter().all(|looked| looked.report.instances.is_empty()) {
        let nothing = nothing_found(&accounts, &looked).await;
        waiting.over();
        screen.tell(&nothing);
        return Ok(exit);
    }
    waiting.over();
    let zone = TimeZone::system();
    let view = View { screen, zone: &zone, now, instant, action: question.action, all: false };
    let body = view.body(&accounts, &looked);
    let body = body.trim_end().trim_end_matches(" Nothing was changed.");
    screen.print(&format!("{}{body}\n", view.header(&accounts)));
    let planned = |looked: &Looked<'_>, action| {
        looked.report.instances.iter().filter(|row| row.planned() == Some(action)).count()
    };
    let sum = |action| looked.iter().map(|looked| planned(looked, action)).sum::<usize>();
    let (stops, starts) = (sum(Action::Stop), sum(Action::Start));
    if stops + starts == 0 {
        screen.print("There is nothing to do.\n");
        return Ok(exit);
    }
    if looked.iter().any(|looked| looked.report.dry_run) {
        screen.print("The settings ask for a dry run, so nothing is done.\n");
        return Ok(exit);
    }
    let most = accounts.open.first().and_then(|account| account.settings.max_actions);
    if let Some(most) = most.filter(|most| stops + starts > most.get()) {
        let text = format!(
            "the plan has {} actions and the most is {most}, so none was taken: give --max-actions if this is meant",
            stops + starts
        );
        return Err(if incomplete { Failure::incomplete(text) } else { Failure::wrong(text) });
    }
    let accounts = in_accounts(looked.iter().map(|looked| (looked.account, looked.report.counts().planned)));
    let rows = looked.iter().flat_map(|looked| &looked.report.instances).filter(|row| row.planned().is_some());
    let places = format!("{accounts}, {}", in_regions(rows.filter_map(|row| row.entry.region())));
    let databases = looked.iter().flat_map(|looked| &looked.report.instances);
    let databases = databases.filter(|row| row.planned().is_some() && row.kind().is_some()).count();
    if !agrees(screen, &format!("{} in {places}?", what(stops, starts, databases)), run.yes)? {
        screen.print("Nothing was changed.\n");
        return Ok(exit);
    }
    // By the clock on the wall, which goes on while a laptop sleeps.
    if watch.now().duration_since(now) > STALE {
        return Err(Failure::wrong(
            "the plan is more than five minutes old, so nothing was done: run it again".to_owned(),
        ));
    }
    let waiting = Waiting::new(run.ask.quiet, screen);
    let took = carry_out(&mut looked, &waiting).await;
    waiting.over();
    let (out, all_well) = outcomes(screen, &looked, took);
    screen.print(&out);
    Ok(if incomplete {
        Exit::Incomplete
    } else if all_well {
        Exit::Done
    } else {
        Exit::Wrong
    })
}

/// `Stop 2 and start 1 instances`, some of which are databases.
fn what(stops: usize, starts: usize, databases: usize) -> String {
    match (stops, starts) {
        (stops, 0) => format!("Stop {}", things(stops, databases)),
        (0, starts) => format!("Start {}", things(starts, databases)),
        (stops, starts) => {
            let all = things(stops + starts, databases);
            let (_, what) = all.split_once(' ').unwrap_or_default();
            format!("Stop {stops} and start {starts} {what}")
        }
    }
}

/// Does it, in all accounts side by side; how long it took.
async fn carry_out(looked: &mut [Looked<'_>], waiting: &Waiting) -> Duration {
    let began = Instant::now();
    let sums: RefCell<BTreeMap<&str, usize>> = RefCell::default();
    let told = |progress: Progress| {
        let (what, count) = match progress {
            Progress::Sent(_, _, count) => ("sent", count),
            Progress::Verified(_, _, count) => ("looked at again", count),
            _ => return,
        };
        *sums.borrow_mut().entry(what).or_default() += count;
        let parts: Vec<String> = sums.borrow().iter().map(|(what, count)| format!("{count} {what}")).collect();
        waiting.say(parts.join(", "));
    };
    waiting.say("sending");
    join_all(looked.iter_mut().map(async |Looked { run, report, .. }| run.carry_out(report, &told).await)).await;
    began.elapsed()
}

/// What became of it: the sums by action, and each that is not as planned; whether all is well.
fn outcomes(screen: Screen, looked: &[Looked<'_>], took: Duration) -> (String, bool) {
    let rows: Vec<&Row> = looked.iter().flat_map(|looked| &looked.report.instances).collect();
    let mut out = String::new();
    for action in [Action::Stop, Action::Start] {
        let mut counts: BTreeMap<Outcome, usize> = BTreeMap::new();
        for outcome in rows.iter().filter(|row| row.planned() == Some(action)).filter_map(|row| row.outcome) {
            *counts.entry(outcome).or_default() += 1;
        }
        if !counts.is_empty() {
            let told: Vec<String> =
                counts.iter().rev().map(|(outcome, count)| format!("{count} {}", outcome.as_str())).collect();
            let _ = writeln!(out, "  {:<5}  {}  ({} s)", action.as_str(), told.join(", "), took.as_secs());
        }
    }
    let is_well = |row: &Row| matches!(row.outcome, None | Some(Outcome::Confirmed | Outcome::Accepted));
    let other: Vec<Vec<Cell>> = rows
        .iter()
        .filter(|row| row.outcome.is_some() && (!is_well(row) || row.reason().is_some()))
        .map(|row| {
            let name = screen.name(row);
            let detail = row.detail().map_or(String::new(), |detail| format!(": {}", screen.text(&detail)));
            let reason = row.reason().map_or("", |reason| reason.as_str());
            let style = if is_well(row) { BOLD } else { WRONG };
            let outcome = row.outcome.map_or("", Outcome::as_str);
            vec![
                Cell::new(outcome).styled(style),
                Cell::new(name),
                Cell::new(row.entry.id.as_str()),
                Cell::new(format!("{reason}{detail}")),
            ]
        })
        .collect();
    out.push_str(&table(screen, &other, 1));
    let all_well = rows.iter().all(|row| is_well(row));
    let confirmed = rows.iter().filter(|row| row.outcome == Some(Outcome::Confirmed)).count();
    let _ = writeln!(out, "{}", styled(BOLD, &format!("{confirmed} confirmed.")));
    (out, all_well)
}
