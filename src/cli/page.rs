//! A week as a page: one file, without scripts, fonts and requests.

use jiff::Timestamp;
use minijinja::Environment;
use minijinja::value::Serde;
use serde::Serialize;
use stopinator::place::Region;
use stopinator::reason::Reason;
use stopinator::week::Stretch;

use crate::accounts::Accounts;
use crate::args::By;
use crate::failure::Failure;
use crate::lines::{Days, Line, Sums, clock, groups, in_hours};
use crate::prices::Prices;
use crate::rows;
use crate::screen::Screen;
use crate::when::{name_of, on_clocks, short};

/// What the page says.
#[derive(Serialize)]
struct Page<'a> {
    title: String,
    zone: &'a str,
    made: String,
    found: String,
    sums: Vec<Sum>,
    to_mend: Vec<ToMend>,
    with_hours: String,
    heading: &'static str,
    days: Vec<String>,
    money: bool,
    rows: Vec<Row>,
    missing: Vec<String>,
    without: Vec<Without>,
}

/// A row: an instance, or all that a tag or an account has in common.
#[derive(Serialize)]
struct Row {
    name: String,
    #[serde(rename = "where")]
    place: String,
    members: Vec<String>,
    length: f64,
    label: String,
    on: Vec<Block>,
    held: Vec<Block>,
    days: Vec<f64>,
    now: Option<f64>,
    tag: String,
    hold: Option<String>,
    hours: String,
    percent: i128,
    usd: String,
    next: String,
}

#[derive(Serialize)]
struct Block {
    x: f64,
    width: f64,
    title: String,
}

#[derive(Serialize)]
struct ToMend {
    name: String,
    #[serde(rename = "where")]
    place: String,
    what: &'static str,
    value: String,
    error: String,
}

#[derive(Serialize)]
struct Without {
    name: String,
    why: &'static str,
}

#[derive(Serialize)]
struct Sum {
    number: String,
    what: String,
}

/// Makes the page.
pub(crate) fn page(
    accounts: &Accounts,
    lines: &[Line],
    days: &Days,
    prices: &Prices,
    by: By,
    missing: &[String],
) -> Result<String, Failure> {
    let maker = Maker { days, prices };
    let with_hours: Vec<&Line> = lines.iter().filter(|line| line.hours.is_some()).collect();
    let rows: Vec<Row> = match by {
        By::Instance => with_hours.iter().map(|line| maker.row(&text(line.label()), &[line], By::Instance)).collect(),
        By::Tag | By::Account => {
            let groups = groups(lines, by).into_iter();
            groups.map(|(title, lines)| maker.row(&format!("{} × {}", lines.len(), text(&title)), &lines, by)).collect()
        }
    };
    let without = lines.iter().filter(|line| line.hours.is_none() && !line.is_to_mend());
    let heading = match by {
        By::Instance => "Instance",
        By::Tag => "Schedule",
        By::Account => "Account",
    };
    let made = on_clocks(days.now, &days.zone).strftime("%A %-d %B %Y, %H:%M").to_string();
    let key = accounts.open.first().map_or("", |account| &*account.settings.tag_key);
    let instances = if lines.len() == 1 { "instance" } else { "instances" };
    let found = format!("{} {instances} in {} that carry the tag {key}", lines.len(), accounts.places());
    let page = Page {
        title: format!("Week of {}", days.first.strftime("%A %-d %B %Y")),
        zone: name_of(&days.zone),
        made,
        found: text(&found),
        sums: maker.sums(&with_hours),
        to_mend: lines.iter().filter(|line| line.is_to_mend()).map(to_mend).collect(),
        with_hours: format!("{} with a schedule", with_hours.len()),
        heading,
        days: days.titles().collect(),
        money: *prices != Prices::None,
        rows,
        missing: missing.iter().map(|missing| text(missing)).collect(),
        without: without.map(without_hours).collect(),
    };
    let mut environment = Environment::new();
    let failed = |error: minijinja::Error| Failure::wrong(format!("--html: {error}"));
    // The name's ending has everything escaped.
    environment.add_template("page.html", include_str!("page.html")).map_err(failed)?;
    environment.get_template("page.html").and_then(|template| template.render(Serde(&page))).map_err(failed)
}

struct Maker<'a> {
    days: &'a Days,
    prices: &'a Prices,
}

impl Maker<'_> {
    /// Where an instant lies in the week, in hours.
    fn hour(&self, at: Timestamp) -> f64 {
        (at.duration_since(self.days.whole().from).as_secs_f64() / 3.6).round() / 1000.0
    }

    fn row(&self, name: &str, lines: &[&Line], by: By) -> Row {
        let sums = Sums::of(lines.iter().copied(), self.days);
        let first = lines.first();
        let is_one = by == By::Instance;
        // What all have in common has no hold.
        let free = lines.iter().find(|line| line.hours.as_ref().is_some_and(|hours| hours.held.is_none()));
        let hours = if is_one { first } else { free.or(first) };
        let hours = hours.and_then(|line| line.hours.as_ref()).filter(|_| by != By::Account);
        let place = match first.filter(|_| is_one) {
            Some(line) => place(line),
            None => String::new(),
        };
        let length = self.hour(self.days.whole().to);
        let now = self.hour(self.days.now);
        let turns = lines.iter().filter_map(|line| line.hours.as_ref()?.next);
        let next = turns
            .min_by_key(|turn| turn.at)
            .map(|turn| format!("{} {}", rows::turn(turn.on), short(turn.at, self.days.now, &self.days.zone)));
        let of = |value: &Option<String>| text(value.as_deref().unwrap_or_default());
        Row {
            name: name.to_owned(),
            place,
            members: if is_one { Vec::new() } else { lines.iter().map(|line| text(line.label())).collect() },
            length,
            label: format!("{} of {} hours on", in_hours(sums.on), in_hours(sums.all)),
            on: hours.map_or(Vec::new(), |hours| hours.on.iter().map(|on| self.block("on", *on)).collect()),
            held: hours
                .filter(|_| is_one)
                .and_then(|hours| hours.held)
                .map(|held| self.block("held", held))
                .into_iter()
                .collect(),
            days: (1..7).map(|day| self.hour(self.days.instant(day, 0))).collect(),
            now: (0.0..length).contains(&now).then_some(now),
            tag: match (by, first) {
                (By::Instance, Some(line)) => of(&line.tag),
                (By::Tag, _) => String::new(),
                _ => format!("{} schedules", groups_of(lines)),
            },
            hold: first.filter(|line| is_one && line.hold.is_some()).map(|line| of(&line.hold)),
            hours: in_hours(sums.on),
            percent: sums.percent(),
            usd: if sums.priced == 0 { "–".to_owned() } else { format!("{:.2}", sums.saved) },
            next: next.unwrap_or_default(),
        }
    }

    fn block(&self, what: &str, Stretch { from, to }: Stretch) -> Block {
        let (x, end) = (self.hour(from), self.hour(to));
        let title = format!("{what} {} to {}", clock(from, self.days), clock(to, self.days));
        Block { x, width: ((end - x) * 1000.0).round() / 1000.0, title }
    }

    fn sums(&self, with_hours: &[&Line]) -> Vec<Sum> {
        let sums = Sums::of(with_hours.iter().copied(), self.days);
        let off = in_hours(sums.all - sums.on);
        let mut told = vec![
            Sum { number: format!("{}%", sums.percent()), what: "fewer hours than always on".to_owned() },
            Sum { number: format!("{off} h"), what: format!("off, of {} instance-hours", in_hours(sums.all)) },
        ];
        if let Some(source) = self.prices.source() {
            let what = format!("at most, this week, by {}; {} of {} priced", text(&source), sums.priced, sums.count);
            told.push(Sum { number: format!("{:.2} USD", sums.saved), what });
        }
        let next = with_hours.iter().filter_map(|line| Some((line, line.hours.as_ref()?.next?)));
        if let Some((line, turn)) = next.min_by_key(|(_, turn)| turn.at) {
            let what = format!("next: {} {}", rows::turn(turn.on), short(turn.at, self.days.now, &self.days.zone));
            told.push(Sum { number: text(line.label()), what });
        }
        if sums.count == 0 {
            told.clear();
        }
        told
    }
}

fn to_mend(line: &Line) -> ToMend {
    let (what, value) = match line.reason {
        Some(Reason::InvalidHold) => ("hold", &line.hold),
        _ => ("tag", &line.tag),
    };
    ToMend {
        name: text(line.label()),
        place: place(line),
        what,
        value: text(value.as_deref().unwrap_or_default()),
        error: text(line.detail.as_deref().unwrap_or_default()),
    }
}

fn without_hours(line: &Line) -> Without {
    let why = match line.reason {
        Some(Reason::PlainTag) => "follows the two rules",
        Some(Reason::OptedOut) => "opted out",
        Some(reason) => reason.as_str(),
        None => "only stops, or only starts",
    };
    Without { name: text(line.label()), why }
}

/// A text of others, so that it cannot hide anything or turn the text around it.
fn text(foreign: &str) -> String {
    Screen { width: None, ascii: false }.text(foreign)
}

fn place(line: &Line) -> String {
    let region = line.region.as_ref().map(Region::as_str);
    let parts = [Some(line.id.as_str()), line.kind.as_deref(), Some(line.account.as_str()), region];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" · ")
}

fn groups_of(lines: &[&Line]) -> usize {
    let mut tags: Vec<_> = lines.iter().map(|line| &line.canonical).collect();
    tags.sort_unstable();
    tags.dedup();
    tags.len()
}
