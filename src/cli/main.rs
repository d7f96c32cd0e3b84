//! `stopinator`: the command line.

#[cfg(feature = "cli")]
mod accounts;
mod args;
#[cfg(feature = "cli")]
mod ask;
mod check;
#[cfg(feature = "cli")]
mod explain;
mod failure;
#[cfg(feature = "cli")]
mod hold;
#[cfg(feature = "cli")]
mod lines;
#[cfg(feature = "cli")]
mod look;
#[cfg(feature = "cli")]
mod page;
#[cfg(feature = "cli")]
mod plan;
#[cfg(feature = "cli")]
mod prices;
#[cfg(feature = "cli")]
mod rows;
#[cfg(feature = "cli")]
mod rules;
#[cfg(feature = "cli")]
mod run;
mod screen;
#[cfg(feature = "cli")]
mod table;
#[cfg(feature = "cli")]
mod week;
mod when;

use std::process::ExitCode;

use clap::Parser;
use jiff::Timestamp;

use crate::args::{Arguments, Command};
use crate::failure::{Exit, Failure};
use crate::screen::{Screen, WRONG, styled};

fn main() -> ExitCode {
    let Arguments { command, look } = Arguments::parse();
    let screen = Screen::new(look.ascii, look.color);
    let now = look.now.unwrap_or_else(Timestamp::now);
    match obey(&command, now, screen) {
        Ok(exit) => exit.into(),
        Err(Failure { exit, text }) => {
            screen.tell(&format!("{} {text}", styled(WRONG, "error:")));
            exit.into()
        }
    }
}

fn obey(command: &Command, now: Timestamp, screen: Screen) -> Result<Exit, Failure> {
    match command {
        Command::Check(check) => check::check(check, now, screen),
        #[cfg(feature = "cli")]
        Command::Completions { shell } => {
            clap_complete::generate(
                *shell,
                &mut <Arguments as clap::CommandFactory>::command(),
                "stopinator",
                &mut std::io::stdout(),
            );
            Ok(Exit::Done)
        }
        #[cfg(feature = "cli")]
        Command::Man { folder } => {
            let manual = clap_mangen::generate_to(<Arguments as clap::CommandFactory>::command(), folder);
            manual.map_err(|error| Failure::usage(format!("{}: {error}", folder.display())))?;
            Ok(Exit::Done)
        }
        #[cfg(feature = "cli")]
        command => ask_aws(command, now, screen),
    }
}

/// The commands that ask AWS.
#[cfg(feature = "cli")]
fn ask_aws(command: &Command, now: Timestamp, screen: Screen) -> Result<Exit, Failure> {
    let ask = match command {
        Command::Plan(plan) => &plan.ask,
        Command::Week(week) => &week.ask,
        Command::Explain(explain) => &explain.ask,
        Command::Hold(hold) => &hold.ask,
        Command::Run(run) => &run.ask,
        Command::Check(_) | Command::Completions { .. } | Command::Man { .. } => return Ok(Exit::Done),
    };
    if ask.verbose {
        let to_stderr = tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(tracing::Level::DEBUG);
        to_stderr.init();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::usage(error.to_string()))?;
    runtime.block_on(async {
        match command {
            Command::Plan(plan) => plan::plan(plan, now, screen).await,
            Command::Week(week) => week::week(week, now, screen).await,
            Command::Explain(explain) => explain::explain(explain, now, screen).await,
            Command::Hold(hold) => hold::hold(hold, now, screen).await,
            Command::Run(run) => run::run(run, now, screen).await,
            Command::Check(_) | Command::Completions { .. } | Command::Man { .. } => Ok(Exit::Done),
        }
    })
}
