//! By which settings it is decided: flags, then `--settings`, then the environment, then the defaults.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read;
use std::path::Path;
use std::{env, fs};

use serde_json::{Map, Value};
use stopinator::place::Region;
use stopinator::settings::{Scope, Settings, SettingsError};

use crate::args::Ask;
use crate::failure::Failure;
use crate::screen::Screen;
use crate::when::name_of;

/// The deployment's variables, as far as they are known here.
#[derive(Debug)]
pub(crate) struct Rules {
    variables: BTreeMap<String, String>,
    /// Those that a flag gave, and the flag.
    flags: BTreeMap<&'static str, &'static str>,
}

impl Rules {
    pub(crate) fn read(ask: &Ask) -> Result<Self, Failure> {
        let prefix = "STOPINATOR_";
        let mut variables: BTreeMap<String, String> = env::vars_os()
            .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
            .filter(|(name, _)| name.starts_with(prefix))
            .collect();
        if let Some(path) = &ask.settings {
            let of_file = from_file(path)?.into_iter().filter(|(name, _)| name.starts_with(prefix));
            // A deployment has what its file says, and nothing of this shell.
            variables = of_file.collect();
        }
        let mut rules = Self { variables, flags: BTreeMap::new() };
        let given = [
            ("STOPINATOR_TAG_KEY", "--tag-key", &ask.tag_key),
            ("STOPINATOR_TIME_ZONE", "--zone", &ask.zone),
            ("STOPINATOR_SCOPE", "--scope", &ask.scope),
            ("STOPINATOR_SERVICES", "--services", &ask.services),
        ];
        for (variable, flag, value) in given {
            if let Some(value) = value {
                rules.set(variable, flag, value.clone());
            }
        }
        Ok(rules)
    }

    pub(crate) fn set(&mut self, variable: &'static str, flag: &'static str, value: String) {
        self.variables.insert(variable.to_owned(), value);
        self.flags.insert(variable, flag);
    }

    /// The regions of the deployment, where they are told.
    pub(crate) fn regions(&self) -> Option<Vec<String>> {
        let regions = self.variables.get("STOPINATOR_REGIONS")?;
        Some(regions.split(',').map(|region| region.trim().to_owned()).collect())
    }

    /// The settings for these regions.
    pub(crate) fn settings(&self, regions: &[Region]) -> Result<Settings, Failure> {
        let regions: Vec<&str> = regions.iter().map(Region::as_str).collect();
        let mut variables = self.variables.clone();
        variables.insert("STOPINATOR_REGIONS".to_owned(), regions.join(","));
        // Whoever sits here signs in to each account by a profile; only the hub's role may enter others.
        variables.retain(|name, _| !["STOPINATOR_ACCOUNTS", "STOPINATOR_EXCLUDE_ACCOUNTS"].contains(&name.as_str()));
        Settings::from_environment(variables).map_err(|error| Failure::usage(self.told(&error)))
    }

    /// The function's own words, but where a flag is wrong.
    fn told(&self, error: &SettingsError) -> String {
        if !error.problems().iter().any(|problem| self.flags.contains_key(&*problem.variable)) {
            return error.to_string();
        }
        let told = error.problems().iter().map(|problem| match self.flags.get(&*problem.variable) {
            Some(flag) => format!("{flag}: {}", problem.what),
            None => problem.to_string(),
        });
        told.collect::<Vec<_>>().join("; ")
    }
}

fn from_file(path: &Path) -> Result<BTreeMap<String, String>, Failure> {
    let name = if path.as_os_str() == "-" { "standard input".to_owned() } else { path.display().to_string() };
    let failed = |what: &str| Failure::usage(format!("--settings: {name}: {what}"));
    let mut text = String::new();
    let read = if path.as_os_str() == "-" {
        std::io::stdin().read_to_string(&mut text).map(drop)
    } else {
        fs::read_to_string(path).map(|read| text = read)
    };
    read.map_err(|error| failed(&error.to_string()))?;
    let variables = if text.trim_start().starts_with(['{', 'n']) { from_json(&text) } else { from_lines(&text) };
    variables.map_err(|what| failed(&what))
}

/// What `aws lambda get-function-configuration` tells, whole or with `--query Environment.Variables`.
fn from_json(text: &str) -> Result<BTreeMap<String, String>, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| format!("this is no JSON: {error}"))?;
    let variables = match value {
        // A function without variables has none.
        Value::Null => Map::new(),
        Value::Object(mut whole) => match whole.get_mut("Environment") {
            Some(environment) => match environment.get_mut("Variables").map(Value::take) {
                Some(Value::Object(variables)) => variables,
                _ => return Err("`Environment` has no `Variables`".to_owned()),
            },
            None => whole,
        },
        _ => return Err("a JSON object is expected, with a text for each variable".to_owned()),
    };
    let text = |(name, value)| match value {
        Value::String(text) => Ok((name, text)),
        _ => Err(format!("`{name}` is no text")),
    };
    variables.into_iter().map(text).collect()
}

fn from_lines(text: &str) -> Result<BTreeMap<String, String>, String> {
    let lines = text.lines().map(str::trim).enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|(number, line)| {
            let line = line.strip_prefix("export ").unwrap_or(line);
            let (name, value) = line.split_once('=').ok_or_else(|| format!("line {} is not NAME=value", number + 1))?;
            let value = value.trim();
            let quoted = ['"', '\''].into_iter().find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote));
            Ok((name.trim().to_owned(), quoted.unwrap_or(value).to_owned()))
        })
        .collect()
}

/// The settings that a plan depends on.
pub(crate) fn by_settings(settings: &Settings, screen: Screen) -> String {
    let scope = match settings.scope {
        Scope::Tagged => "tagged",
        Scope::All => "all",
    };
    let zone = name_of(&settings.time_zone);
    let mut said = format!("tag {}, zone {zone}, scope {scope}", screen.text(&settings.tag_key));
    if settings.databases {
        said.push_str(", databases too");
    }
    if let Some(limit) = settings.hand_start_limit {
        let _ = write!(said, ", hand starts for {} h", limit.as_hours());
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_in_every_form() {
        let expected = BTreeMap::from([("STOPINATOR_SCOPE".to_owned(), "all".to_owned())]);
        for json in [
            r#"{"STOPINATOR_SCOPE": "all"}"#,
            r#"{"FunctionName": "x", "Environment": {"Variables": {"STOPINATOR_SCOPE": "all"}}}"#,
        ] {
            assert_eq!(from_json(json).unwrap(), expected, "{json}");
        }
        assert_eq!(from_json("null").unwrap(), BTreeMap::new());
        for lines in
            ["STOPINATOR_SCOPE=all", "# mine\n\nexport STOPINATOR_SCOPE='all'\n", " STOPINATOR_SCOPE = \"all\" \r\n"]
        {
            assert_eq!(from_lines(lines).unwrap(), expected, "{lines}");
        }
        for wrong in ["[1]", "{", r#"{"A": 1}"#, r#"{"Environment": {}}"#] {
            assert!(from_json(wrong).is_err(), "{wrong}");
        }
        assert_eq!(from_lines("A=1\nwhat\n").unwrap_err(), "line 2 is not NAME=value");
    }
}
