//! A question before anything is changed.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, IsTerminal, Write};

use stopinator::place::Region;

use crate::accounts::Account;
use crate::failure::Failure;
use crate::screen::Screen;

/// Whether to go on: `yes` says so, or somebody at the terminal.
pub(crate) fn agrees(screen: Screen, question: &str, yes: bool) -> Result<bool, Failure> {
    if yes {
        return Ok(true);
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::usage("nobody is there to ask: answer with --yes".to_owned()));
    }
    let mut err = anstream::stderr();
    let asked = write!(err, "{} [y/N] ", screen.text(question)).and_then(|()| err.flush());
    let mut answer = String::new();
    asked
        .and_then(|()| io::stdin().lock().read_line(&mut answer).map(drop))
        .map_err(|error| Failure::usage(error.to_string()))?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// What so many are, some of which are databases: `1 instance`, `2 databases`, `3 instances and databases`.
pub(crate) fn things(count: usize, databases: usize) -> String {
    let s = if count == 1 { "" } else { "s" };
    match databases {
        0 => format!("{count} instance{s}"),
        all if all == count => format!("{count} database{s}"),
        _ => format!("{count} instances and databases"),
    }
}

/// `account 111122223333 (dev)`, or all of them, with how many instances in each.
pub(crate) fn in_accounts<'a>(of: impl IntoIterator<Item = (&'a Account, usize)>) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for (account, count) in of.into_iter().filter(|(_, count)| *count > 0) {
        let name =
            if account.name == account.id { account.id.clone() } else { format!("{} ({})", account.id, account.name) };
        *counts.entry(name).or_default() += count;
    }
    if let (1, Some(name)) = (counts.len(), counts.keys().next()) {
        return format!("account {name}");
    }
    let each = counts.into_iter().map(|(name, count)| format!("{name}: {count}"));
    format!("accounts {}", each.collect::<Vec<_>>().join(", "))
}

/// The regions, or how many they are.
pub(crate) fn in_regions<'a>(of: impl IntoIterator<Item = &'a Region>) -> String {
    let regions: BTreeSet<&str> = of.into_iter().map(Region::as_str).collect();
    if regions.len() > 3 {
        return format!("{} regions", regions.len());
    }
    regions.into_iter().collect::<Vec<_>>().join(", ")
}
