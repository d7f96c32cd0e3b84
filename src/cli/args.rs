//! What can be said on the command line. The texts here are the help.

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, ColorChoice, Parser, Subcommand, ValueEnum};
use jiff::Timestamp;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// See what Stopinator would do with your EC2 instances, and why
#[derive(Debug, Parser)]
#[command(name = "stopinator", version, styles = STYLES, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) look: Look,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// What a run would do, and why
    #[cfg(feature = "cli")]
    #[command(after_long_help = EXIT_CODES)]
    Plan(Plan),
    /// A week of hours, as strips
    #[cfg(feature = "cli")]
    #[command(after_long_help = WEEK_NOTES)]
    Week(Week),
    /// Everything behind one instance's decision
    #[cfg(feature = "cli")]
    Explain(Explain),
    /// What a tag's value means (needs no AWS)
    #[command(after_help = VALUES)]
    Check(Check),
    /// Set schedules aside for a while
    #[cfg(feature = "cli")]
    #[command(after_long_help = HOLD_NOTES)]
    Hold(Hold),
    /// Do what plan shows, after a question
    #[cfg(feature = "cli")]
    Run(Run),
    /// Write the completions of a shell to standard output
    #[cfg(feature = "cli")]
    Completions {
        /// Whose
        shell: clap_complete::Shell,
    },
    /// Write the manual pages into a folder
    #[cfg(feature = "cli")]
    #[command(hide = true)]
    Man {
        /// Which
        folder: std::path::PathBuf,
    },
}

/// How it looks.
#[derive(Debug, Args)]
pub(crate) struct Look {
    /// Colours: never with `NO_COLOR`, and always with `CLICOLOR_FORCE`, unless said here
    #[arg(long, value_name = "WHEN", default_value = "auto", global = true, help_heading = "Output")]
    pub(crate) color: ColorChoice,
    /// Only ASCII, as with `LC_ALL=C`
    #[arg(long, global = true, help_heading = "Output")]
    pub(crate) ascii: bool,
    /// What time it is, for tests and pictures
    #[arg(long, value_name = "RFC3339", global = true, hide = true)]
    pub(crate) now: Option<Timestamp>,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Values of the tag; `-` reads one a line from standard input, and shows only those that are wrong
    #[arg(required = true, value_name = "VALUE")]
    pub(crate) values: Vec<String>,
    /// The values are those of the hold's tag
    #[arg(long)]
    pub(crate) hold: bool,
    /// The zone of values that name none
    #[arg(long, value_name = "ZONE", default_value = "UTC", env = "STOPINATOR_TIME_ZONE")]
    pub(crate) zone: String,
    /// From when on: 18:05, `2026-11-23 18:05`, RFC 3339 or +2h30m
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<String>,
    /// How many edges to show
    #[arg(short = 'n', long, value_name = "EDGES", default_value_t = 4)]
    pub(crate) edges: usize,
    /// How to say it; `github` makes annotations of what is wrong
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
    Github,
}

const VALUES: &str = "\
Values:
  weekdays 08:00-18:00 Europe/Berlin        office hours; without a zone, that of the deployment
  Mon Wed Fri 09:00-17:00                   on three days
  weekdays 08:00-12:00 + Sat 10:00-14:00    several windows
  Fri 20:00-02:00                           overnight
  Mon 06:00 - Fri 20:00                     over several days
  00:00-24:00                               always on
  stop daily 19:00                          stops it in the evening, never starts it
  start weekdays 07:00 + stop daily 23:00   two moments
  weekdays 08:00-18:00 except 12-24..01-01  not over the turn of the year
  weekdays 08:00-18:00 enforced             also against people
  true                                      follows the deployment's stop rule and start rule
  false                                     is left alone
Holds (--hold):
  until 2026-11-22 09:00                    left as it is; `on until`, `off until`: kept running, kept stopped

Exit codes: 0 all are right, 1 a value does not parse, 2 the command line is wrong.";

#[cfg(feature = "cli")]
pub(crate) use self::aws::*;

/// What only the whole command line has.
#[cfg(feature = "cli")]
mod aws {
    use std::num::NonZeroUsize;
    use std::path::PathBuf;

    use clap::{Args, ValueEnum};
    use stopinator::action::RequestedAction;

    pub(super) const EXIT_CODES: &str = "\
Listed are all that would be stopped or started, and all that somebody must mend; the rest is counted by reason, and \
listed with --all.

Exit codes: 0 done, 2 the command line is wrong, 3 an account or a region did not answer (what was found is shown). \
With --exit-code also 1: a tag or a hold does not parse, and 4: something would be stopped or started. Of several 3, \
then 1, then 4.";
    pub(super) const WEEK_NOTES: &str = "\
Hours are those that the tags ask for, not those that were run: what people start and stop by hand is not in them. Money \
is hours off times the price that you give, and so the most that a week can save.

Prices are CSV with a header: region,instance_type,usd_per_hour and, if need be, platform. Nothing is guessed: what is \
not in the file has no price.";
    pub(super) const HOLD_NOTES: &str = "\
A hold is a second tag. It sets the schedule aside until a time; what it leaves as it is may be started and stopped by \
hand. Without --for, --until or --clear, nothing is changed.";

    /// Whom to ask, and by which rules.
    #[derive(Debug, Args)]
    pub(crate) struct Ask {
        /// A profile of ~/.aws/config; may be given again, and `*` stands for any letters. Each is an account
        #[arg(short, long, value_name = "NAME", help_heading = "Where")]
        pub(crate) profile: Vec<String>,
        /// A region; may be given again, or with commas, or `all`. Without it, those of --settings, or `AWS_REGION`, or the profile's
        #[arg(short, long, value_name = "NAME", value_delimiter = ',', help_heading = "Where")]
        pub(crate) region: Vec<String>,
        /// The deployment's variables, as JSON or as NAME=value lines; `-` is standard input
        #[arg(long, value_name = "FILE", help_heading = "Rules")]
        pub(crate) settings: Option<PathBuf>,
        /// The tag's key, over --settings and `STOPINATOR_TAG_KEY` [default: Stopinator]
        #[arg(long, value_name = "KEY", help_heading = "Rules")]
        pub(crate) tag_key: Option<String>,
        /// The zone of values that name none, over --settings and `STOPINATOR_TIME_ZONE` [default: UTC]
        #[arg(long, value_name = "ZONE", help_heading = "Rules")]
        pub(crate) zone: Option<String>,
        /// `tagged`, or `all`: also those without the tag, on stop; over --settings and `STOPINATOR_SCOPE`
        #[arg(long, value_name = "SCOPE", help_heading = "Rules")]
        pub(crate) scope: Option<String>,
        /// `ec2`, or `ec2,rds`: databases, too; over --settings and `STOPINATOR_SERVICES`
        #[arg(long, value_name = "SERVICES", help_heading = "Rules")]
        pub(crate) services: Option<String>,
        /// No progress
        #[arg(short, long, help_heading = "Output")]
        pub(crate) quiet: bool,
        /// What is asked of AWS, on standard error
        #[arg(short, long, help_heading = "Output")]
        pub(crate) verbose: bool,
    }

    #[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
    pub(crate) enum Output {
        Table,
        Json,
        Csv,
    }

    #[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
    pub(crate) enum Action {
        Schedule,
        Stop,
        Start,
    }

    impl From<Action> for RequestedAction {
        fn from(action: Action) -> Self {
            match action {
                Action::Schedule => Self::Schedule,
                Action::Stop => Self::Stop,
                Action::Start => Self::Start,
            }
        }
    }

    #[derive(Debug, Args)]
    pub(crate) struct Plan {
        /// Only these: ids, or names, in which * and ? stand for letters
        #[arg(value_name = "INSTANCE")]
        pub(crate) instances: Vec<String>,
        /// Which rule: `stop` and `start` for plain tags, `schedule` for those with hours of their own
        #[arg(long, default_value = "schedule")]
        pub(crate) action: Action,
        /// Decide for another time: 18:05, `2026-11-23 18:05`, RFC 3339 or +2h30m
        #[arg(long, value_name = "TIME")]
        pub(crate) at: Option<String>,
        /// Show the notices of stops so many minutes ahead that this instant's tick would send, 5 to 120
        #[arg(long, value_name = "MINUTES", value_parser = clap::value_parser!(u32).range(5..=120), conflicts_with_all = ["action", "all", "exit_code", "output"])]
        pub(crate) notice: Option<u32>,
        /// List all that are kept, too
        #[arg(long)]
        pub(crate) all: bool,
        /// Tell by the exit code what was found
        #[arg(long)]
        pub(crate) exit_code: bool,
        /// As a table, as JSON or as CSV
        #[arg(short, long, default_value = "table", help_heading = "Output")]
        pub(crate) output: Output,
        #[command(flatten)]
        pub(crate) ask: Ask,
    }

    #[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
    pub(crate) enum By {
        Instance,
        Tag,
        Account,
    }

    #[derive(Debug, Args)]
    pub(crate) struct Week {
        /// Only these: ids, or names, in which * and ? stand for letters
        #[arg(value_name = "INSTANCE")]
        pub(crate) instances: Vec<String>,
        /// The first of the seven days [default: Monday of this week]
        #[arg(long, value_name = "DATE")]
        pub(crate) from: Option<String>,
        /// A row for each instance, tag or account
        #[arg(long, default_value = "instance")]
        pub(crate) by: By,
        /// US dollars an hour, of every instance
        #[arg(long, value_name = "USD", conflicts_with = "prices")]
        pub(crate) price: Option<f64>,
        /// A CSV file of prices
        #[arg(long, value_name = "FILE")]
        pub(crate) prices: Option<PathBuf>,
        /// Write a page, too
        #[arg(long, value_name = "FILE")]
        pub(crate) html: Option<PathBuf>,
        /// The zone of the columns [default: your own]
        #[arg(long = "in", value_name = "ZONE")]
        pub(crate) zone_in: Option<String>,
        /// As a table, as JSON or as CSV
        #[arg(short, long, default_value = "table", help_heading = "Output")]
        pub(crate) output: Output,
        #[command(flatten)]
        pub(crate) ask: Ask,
    }

    #[derive(Debug, Args)]
    pub(crate) struct Explain {
        /// Its id or its name
        #[arg(value_name = "INSTANCE")]
        pub(crate) instance: String,
        /// Decide for another time: 18:05, `2026-11-23 18:05`, RFC 3339 or +2h30m
        #[arg(long, value_name = "TIME")]
        pub(crate) at: Option<String>,
        #[command(flatten)]
        pub(crate) ask: Ask,
    }

    #[derive(Debug, Args)]
    #[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
    pub(crate) struct Hold {
        /// Which: ids, or names, in which * and ? stand for letters
        #[arg(required = true, value_name = "INSTANCE")]
        pub(crate) instances: Vec<String>,
        /// For so long, such as 3h; the end is rounded up to a minute
        #[arg(long = "for", value_name = "DURATION", conflicts_with_all = ["until", "clear"])]
        pub(crate) for_: Option<String>,
        /// Until then: 21:00, `2026-11-23 21:00`, RFC 3339 or +2h30m
        #[arg(long, value_name = "TIME", conflicts_with = "clear")]
        pub(crate) until: Option<String>,
        /// Keep them running, and start them if they are stopped
        #[arg(long, conflicts_with_all = ["off", "clear"])]
        pub(crate) on: bool,
        /// Keep them stopped, and stop them if they run
        #[arg(long, conflicts_with = "clear")]
        pub(crate) off: bool,
        /// Take the hold away
        #[arg(long)]
        pub(crate) clear: bool,
        /// Only print what the AWS CLI would be told
        #[arg(long)]
        pub(crate) print: bool,
        /// Do not ask
        #[arg(short, long)]
        pub(crate) yes: bool,
        #[command(flatten)]
        pub(crate) ask: Ask,
    }

    #[derive(Debug, Args)]
    pub(crate) struct Run {
        /// Only these: ids, or names, in which * and ? stand for letters
        #[arg(value_name = "INSTANCE")]
        pub(crate) instances: Vec<String>,
        /// Which rule: `stop` and `start` for plain tags, `schedule` for those with hours of their own
        #[arg(long, default_value = "schedule")]
        pub(crate) action: Action,
        /// Do not ask
        #[arg(short, long)]
        pub(crate) yes: bool,
        /// The most actions that are taken at once, over --settings [default: 200]
        #[arg(long, value_name = "N")]
        pub(crate) max_actions: Option<NonZeroUsize>,
        /// Do not look whether they arrive
        #[arg(long)]
        pub(crate) no_verify: bool,
        #[command(flatten)]
        pub(crate) ask: Ask,
    }
}
