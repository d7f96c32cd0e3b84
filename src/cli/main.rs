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

use crate::args::{Arguments, Command};
use crate::failure::{Exit, Failure};
use crate::screen::{Screen, WRONG, styled};
use crate::when::Watch;

fn main() -> ExitCode {
    let Arguments { command, look } = Arguments::parse();
    let screen = Screen::new(look.ascii, look.color);
    match obey(&command, Watch(look.now), screen) {
        Ok(exit) => exit.into(),
        Err(Failure { exit, text }) => {
            screen.tell(&format!("{} {}", styled(WRONG, "error:"), screen.lines(&text)));
            exit.into()
        }
    }
}

fn obey(command: &Command, watch: Watch, screen: Screen) -> Result<Exit, Failure> {
    match command {
        Command::Check(check) => check::check(check, watch.now(), screen),
        #[cfg(feature = "cli")]
        Command::Completions { shell } => {
            let mut script = Vec::new();
            let mut command = <Arguments as clap::CommandFactory>::command();
            clap_complete::generate(*shell, &mut command, "stopinator", &mut script);
            screen.write(&String::from_utf8_lossy(&script));
            Ok(Exit::Done)
        }
        #[cfg(feature = "cli")]
        Command::Man { folder } => {
            let manual = clap_mangen::generate_to(<Arguments as clap::CommandFactory>::command(), folder);
            manual.map_err(|error| Failure::usage(format!("{}: {error}", folder.display())))?;
            Ok(Exit::Done)
        }
        #[cfg(feature = "cli")]
        command => ask_aws(command, watch, screen),
    }
}

/// The commands that ask AWS.
#[cfg(feature = "cli")]
fn ask_aws(command: &Command, watch: Watch, screen: Screen) -> Result<Exit, Failure> {
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
            Command::Plan(plan) => plan::plan(plan, watch.now(), screen).await,
            Command::Week(week) => week::week(week, watch.now(), screen).await,
            Command::Explain(explain) => explain::explain(explain, watch.now(), screen).await,
            Command::Hold(hold) => hold::hold(hold, watch, screen).await,
            Command::Run(run) => run::run(run, watch, screen).await,
            Command::Check(_) | Command::Completions { .. } | Command::Man { .. } => Ok(Exit::Done),
        }
    })
}
