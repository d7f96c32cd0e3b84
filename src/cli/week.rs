//! `stopinator week`: a week of hours, as strips.

use std::fmt::Write as _;
use std::fs;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use stopinator::action::RequestedAction;
use stopinator::place::Region;
use stopinator::reason::Reason;
use stopinator::resource::ResourceId;
use stopinator::week::{Hours, Stretch};
use unicode_width::UnicodeWidthStr;

use crate::accounts::Accounts;
use crate::args::{By, Output, Week};
use crate::failure::{Exit, Failure};
use crate::lines::{Days, Line, Sums, groups, in_hours, lines};
use crate::look::{Looked, Question, Waiting, look, missing, nothing_found, requests, tell_what_is_missing};
use crate::page;
use crate::prices::Prices;
use crate::rows::{self, Rules, Turn, Unobserved};
use crate::rules::Rules as Given;
use crate::screen::{BOLD, START, Screen, WRONG, json_text, styled};
use crate::when::{name_of, short};

pub(crate) async fn week(week: &Week, now: Timestamp, screen: Screen) -> Result<Exit, Failure> {
    let days = Days::read(week, now)?;
    let prices = Prices::read(week.price, week.prices.as_deref())?;
    let given = Given::read(&week.ask)?;
    let accounts = Accounts::open(&week.ask, &given).await?;
    let waiting = Waiting::new(week.ask.quiet, screen);
    let instant = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let question = Question {
        action: RequestedAction::Schedule,
        instant,
        dry_run: true,
        instances: week.instances.clone(),
        needs_all: false,
    };
    let requests = requests(&accounts, &question, &waiting).await?;
    let looked = look(&accounts, &requests, &waiting, screen, &|| ()).await?;
    let incomplete = waiting.pause(|| tell_what_is_missing(screen, &accounts, &looked));
    let lines: Vec<Line> = looked.iter().flat_map(|looked| lines(looked, &days, &prices)).collect();
    if let Some(path) = &week.html {
        let page = page::page(&accounts, &lines, &days, &prices, week.by, &missing(&accounts, &looked))?;
        fs::write(path, page).map_err(|error| Failure::usage(format!("--html: {}: {error}", path.display())))?;
    }
    let out = match week.output {
        Output::Json => Some(json(&accounts, &looked, &lines, &days, &prices)?),
        Output::Csv => Some(csv(&lines, &days)?),
        Output::Table if lines.is_empty() => {
            waiting.say("looking for other tags");
            let nothing = nothing_found(&accounts, &looked).await;
            waiting.over();
            screen.tell(&nothing);
            None
        }
        Output::Table => Some(View { screen, days: &days, prices: &prices }.whole(&lines, week.by)),
    };
    waiting.over();
    if let Some(out) = out {
        screen.print(&out);
    }
    Ok(if incomplete { Exit::Incomplete } else { Exit::Done })
}

struct View<'a> {
    screen: Screen,
    days: &'a Days,
    prices: &'a Prices,
}

/// How wide the columns are.
#[derive(Clone, Copy)]
struct Layout {
    name: usize,
    cells: usize,
}

impl View<'_> {
    fn whole(&self, lines: &[Line], by: By) -> String {
        let (screen, days) = (self.screen, self.days);
        let zone = name_of(&days.zone);
        let title = format!("Week of {}, hours of {zone}", days.first.strftime("%A %-d %B %Y"));
        let mut out = format!("{}\n\n", styled(BOLD, &title));
        let with_hours: Vec<&Line> = lines.iter().filter(|line| line.hours.is_some()).collect();
        if !with_hours.is_empty() {
            let layout = self.layout(&with_hours, by);
            out.push_str(&self.header(layout));
            match by {
                By::Instance => {
                    for line in &with_hours {
                        let name = screen.cut(&screen.text(line.label()), layout.name);
                        let _ = writeln!(out, "{}", self.row(&name, &self.strip(line, layout), &[line], layout));
                    }
                }
                By::Tag | By::Account => {
                    for (title, lines) in groups(lines, by) {
                        let count = format!("{} × ", lines.len());
                        let count = if screen.ascii { count.replace('×', "x") } else { count };
                        let _ = writeln!(out, "{}", screen.wrap(&format!("{count}{}", screen.text(&title)), 4));
                        let strip = self.share(&lines, layout);
                        let _ = writeln!(out, "{}", self.row("", &strip, &lines, layout));
                    }
                }
            }
            out.push('\n');
        }
        out.push_str(&self.sums(lines, &with_hours));
        out
    }

    fn layout(&self, lines: &[&Line], by: By) -> Layout {
        let longest = lines.iter().map(|line| self.screen.text(line.label()).width()).max().unwrap_or(0);
        let longest = if by == By::Instance { longest.max(19) } else { 19 };
        let Some(width) = self.screen.width else { return Layout { name: longest, cells: 12 } };
        let tail = if *self.prices == Prices::None { 12 } else { 22 };
        let least = 19;
        let strips = |cells: usize| 7 * cells + 6;
        let fits = |cells: &&usize| least + 1 + strips(**cells) + tail <= width;
        let cells = [24, 12, 8, 6, 4].iter().find(fits).copied().unwrap_or(3);
        let room = width.saturating_sub(1 + strips(cells) + tail);
        Layout { name: longest.min(room).max(8), cells }
    }

    fn header(&self, layout: Layout) -> String {
        let cells = layout.cells;
        let short = |title: String| if cells < 6 { title[..3.min(cells)].to_owned() } else { title };
        let titles: Vec<String> = self.days.titles().map(|title| format!("{:<cells$}", short(title))).collect();
        format!("{}\n", format!("{:1$} {2}", "", layout.name, titles.join(" ")).trim_end())
    }

    fn row(&self, name: &str, strip: &str, lines: &[&Line], layout: Layout) -> String {
        let sums = Sums::of(lines.iter().copied(), self.days);
        let blanks = " ".repeat(layout.name.saturating_sub(name.width()));
        let money = match (self.prices, sums.priced) {
            (Prices::None, _) => String::new(),
            (_, 0) => format!("{:>10}", "-"),
            _ => format!("{:>10.2}", sums.saved),
        };
        format!("{name}{blanks} {strip}{:>5} h {:>3}%{money}", in_hours(sums.on), sums.percent())
    }

    /// The halves of each cell: whether it is on for most of it, and held.
    fn strip(&self, line: &Line, layout: Layout) -> String {
        let Some(Hours { on, held, .. }) = &line.hours else { return String::new() };
        let cell = |day: usize, cell: usize| {
            let halves = self.halves(day, cell, layout.cells);
            let is_held = halves.map(|half| held.is_some_and(|held| most(&[held], half)));
            let is_on = halves.map(|half| most(on, half));
            if is_held.contains(&true) {
                return '▒';
            }
            match is_on {
                [true, true] => '█',
                [true, false] => '▌',
                [false, true] => '▐',
                [false, false] => '·',
            }
        };
        let days = (0..7).map(|day| (0..layout.cells).map(|place| cell(day, place)).collect::<String>());
        styled(START, &days.collect::<Vec<_>>().join(" "))
    }

    /// How many of several are on, as the height of a bar.
    fn share(&self, lines: &[&Line], layout: Layout) -> String {
        const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        let cell = |day: usize, cell: usize| {
            let [first, second] = self.halves(day, cell, layout.cells);
            let whole = Stretch { from: first.from, to: second.to };
            let on =
                lines.iter().filter_map(|line| line.hours.as_ref()).map(|hours| covered(&hours.on, whole).as_secs());
            let all = whole.to.duration_since(whole.from).as_secs() * i64::try_from(lines.len()).unwrap_or(1);
            let tenths = usize::try_from(on.sum::<i64>() * 10 / all.max(1)).unwrap_or(0);
            match (tenths, self.screen.ascii) {
                (0, true) => '.',
                (10, true) => '#',
                (tenths, true) => char::from_digit(u32::try_from(tenths).unwrap_or(0), 10).unwrap_or('?'),
                (0, false) => '·',
                (tenths, false) => BARS[(tenths * 8 / 10).saturating_sub(1).min(7)],
            }
        };
        let days = (0..7).map(|day| (0..layout.cells).map(|place| cell(day, place)).collect::<String>());
        styled(START, &days.collect::<Vec<_>>().join(" "))
    }

    fn halves(&self, day: usize, cell: usize, cells: usize) -> [Stretch; 2] {
        let hours = 24 / cells;
        let (from, to) = (self.days.instant(day, cell * hours), self.days.instant(day, (cell + 1) * hours));
        let middle = from.saturating_add(to.duration_since(from) / 2).unwrap_or(to);
        [Stretch { from, to: middle }, Stretch { from: middle, to }]
    }

    fn sums(&self, lines: &[Line], with_hours: &[&Line]) -> String {
        let screen = self.screen;
        let sums = Sums::of(with_hours.iter().copied(), self.days);
        let mut out = String::new();
        if sums.count > 0 {
            let line = format!(
                "{} with a schedule: {} of {} instance-hours on, {}% less than always on",
                sums.count,
                in_hours(sums.on),
                in_hours(sums.all),
                sums.percent()
            );
            let _ = writeln!(out, "{}", screen.wrap(&line, 2));
        }
        if let Some(source) = self.prices.source().filter(|_| sums.count > 0) {
            let line = format!(
                "At most {:.2} USD less this week at list price, by {}; {} of {} priced",
                sums.saved,
                screen.text(&source),
                sums.priced,
                sums.count
            );
            let _ = writeln!(out, "{}", screen.wrap(&line, 2));
        }
        for line in lines.iter().filter(|line| line.is_to_mend()) {
            let what = if line.reason == Some(Reason::InvalidHold) { ("hold", &line.hold) } else { ("tag", &line.tag) };
            let text = format!(
                "{} {}: {} `{}`: {}",
                styled(WRONG, "To mend:"),
                screen.text(line.label()),
                what.0,
                screen.text(what.1.as_deref().unwrap_or_default()),
                screen.text(line.detail.as_deref().unwrap_or_default())
            );
            let _ = writeln!(out, "{}", screen.wrap(&text, 2));
        }
        let without: Vec<&Line> = lines.iter().filter(|line| line.hours.is_none() && !line.is_to_mend()).collect();
        if !without.is_empty() {
            const SHOWN: usize = 8;
            let mut names: Vec<String> = without.iter().take(SHOWN).map(|line| screen.text(line.label())).collect();
            if without.len() > SHOWN {
                names.push(format!("and {} more", without.len() - SHOWN));
            }
            let line = format!("{} without hours of their own: {}", without.len(), names.join(", "));
            let _ = writeln!(out, "{}", screen.wrap(&line, 2));
        }
        let next = with_hours.iter().filter_map(|line| Some((line, line.hours.as_ref()?.next?)));
        if let Some((line, turn)) = next.min_by_key(|(_, turn)| turn.at) {
            let when = short(turn.at, self.days.now, &self.days.zone);
            let _ = writeln!(out, "Next: {} {} {when}", screen.text(line.label()), rows::turn(turn.on));
        }
        out
    }
}

/// How much of a stretch others cover.
fn covered(stretches: &[Stretch], whole: Stretch) -> SignedDuration {
    let within = stretches.iter().map(|stretch| {
        let (from, to) = (stretch.from.max(whole.from), stretch.to.min(whole.to));
        if from < to { to.duration_since(from) } else { SignedDuration::ZERO }
    });
    within.sum()
}

/// Whether others cover at least half of a stretch, and some of it.
fn most(stretches: &[Stretch], whole: Stretch) -> bool {
    let covered = covered(stretches, whole);
    covered > SignedDuration::ZERO && covered * 2 >= whole.to.duration_since(whole.from)
}

#[derive(Serialize)]
struct Document<'a> {
    version: u8,
    from: Timestamp,
    to: Timestamp,
    time: Timestamp,
    zone: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    settings: Option<Rules<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prices: Option<String>,
    unobserved: Vec<Unobserved<'a>>,
    instances: Vec<Fields<'a>>,
}

#[derive(Serialize)]
struct Fields<'a> {
    account: &'a str,
    account_id: &'a str,
    id: &'a ResourceId,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<&'a Region>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hold: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    canonical: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    zone: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    #[serde(flatten)]
    hours: Option<HoursFields>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usd_per_hour: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    saved_usd: Option<f64>,
}

#[derive(Serialize)]
struct HoursFields {
    on: Vec<FromTo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    held: Option<FromTo>,
    on_hours: f64,
    off_hours: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<Turn>,
}

#[derive(Serialize)]
struct FromTo {
    from: Timestamp,
    to: Timestamp,
}

fn json(
    accounts: &Accounts,
    looked: &[Looked<'_>],
    lines: &[Line],
    days: &Days,
    prices: &Prices,
) -> Result<String, Failure> {
    let Stretch { from, to } = days.whole();
    let from_to = |stretch: Stretch| FromTo { from: stretch.from, to: stretch.to };
    let instances = lines.iter().map(|line| Fields {
        account: &line.account,
        account_id: &line.account_id,
        id: &line.id,
        name: line.name.as_deref(),
        region: line.region.as_ref(),
        kind: line.kind.as_deref(),
        state: line.state.map(rows::state),
        tag: line.tag.as_deref(),
        hold: line.hold.as_deref(),
        canonical: line.canonical.as_deref(),
        zone: line.zone.as_deref(),
        reason: line.reason,
        detail: line.detail.as_deref(),
        hours: line.hours.as_ref().map(|hours| HoursFields {
            on: hours.on.iter().copied().map(from_to).collect(),
            held: hours.held.map(from_to),
            on_hours: rounded(hours.on_time().as_secs_f64() / 3600.0),
            off_hours: rounded((days.length() - hours.on_time()).as_secs_f64() / 3600.0),
            next: hours.next.map(|turn| Turn { at: turn.at, turn: rows::turn(turn.on) }),
        }),
        usd_per_hour: line.price,
        saved_usd: line.saved(days).map(rounded),
    });
    json_text(&Document {
        version: rows::VERSION,
        from,
        to,
        time: days.now,
        zone: name_of(&days.zone),
        settings: accounts.open.first().map(|account| Rules::of(&account.settings)),
        prices: prices.source(),
        unobserved: Unobserved::all(accounts, looked),
        instances: instances.collect(),
    })
}

/// Two decimals.
fn rounded(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

fn csv(lines: &[Line], days: &Days) -> Result<String, Failure> {
    const COLUMNS: [&str; 17] = [
        "account",
        "region",
        "id",
        "name",
        "type",
        "state",
        "tag",
        "hold",
        "canonical",
        "reason",
        "detail",
        "next_edge",
        "next_turn",
        "on_hours",
        "off_hours",
        "usd_per_hour",
        "saved_usd",
    ];
    let rows = lines.iter().map(|line| {
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        let number = |number: Option<f64>| number.map_or(String::new(), |number| rounded(number).to_string());
        let hours = |time: SignedDuration| time.as_secs_f64() / 3600.0;
        let next = line.hours.as_ref().and_then(|hours| hours.next);
        [
            line.account.clone(),
            text(line.region.as_ref().map(Region::as_str)),
            line.id.to_string(),
            text(line.name.as_deref()),
            text(line.kind.as_deref()),
            text(line.state.map(rows::state)),
            text(line.tag.as_deref()),
            text(line.hold.as_deref()),
            text(line.canonical.as_deref()),
            text(line.reason.map(Reason::as_str)),
            text(line.detail.as_deref()),
            next.map_or(String::new(), |turn| turn.at.to_string()),
            text(next.map(|turn| rows::turn(turn.on))),
            number(line.hours.as_ref().map(|on| hours(on.on_time()))),
            number(line.off_time(days).map(hours)),
            line.price.map_or(String::new(), |price| price.to_string()),
            number(line.saved(days)),
        ]
    });
    rows::written(COLUMNS, rows)
}
