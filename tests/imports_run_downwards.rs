//! The list of rooms in `docs/design.md` is the house: every file of `src` is in it, and imports only from what stands
//! below it there.
#![expect(clippy::expect_used, reason = "a test of the files of the repository")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The rooms from the top down, each as its path of modules: `["ec2", "executor", "doubt"]`. A folder stands for its
/// `mod.rs`, which is above all in it.
fn rooms() -> Vec<Vec<String>> {
    let page = fs::read_to_string(Path::new(ROOT).join("docs/design.md")).expect("the page");
    let list = page.split("## Rooms").nth(1).and_then(|rest| rest.split("```").nth(1)).expect("the list");
    let mut folders: Vec<String> = Vec::new();
    let mut rooms = Vec::new();
    for line in list.lines().filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with("---")) {
        let depth = (line.len() - line.trim_start().len()) / 2;
        let name = line.split_whitespace().next().expect("a name");
        folders.truncate(depth);
        let module = name.trim_end_matches(".rs").trim_end_matches('/').to_owned();
        rooms.push(folders.iter().cloned().chain([module.clone()]).collect());
        if name.ends_with('/') {
            folders.push(module);
        }
    }
    rooms
}

/// The files of `src`, each with its path of modules. The library's root has no room, and tests may import anything.
fn files() -> Vec<(PathBuf, Vec<String>)> {
    fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                walk(&path, files);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    let source = Path::new(ROOT).join("src");
    let mut files = Vec::new();
    walk(&source, &mut files);
    files
        .into_iter()
        .map(|path| {
            let inside = path.strip_prefix(&source).expect("in src").with_extension("");
            let mut modules: Vec<String> = inside.iter().map(|part| part.to_string_lossy().into_owned()).collect();
            if modules.len() > 1 && modules.last().is_some_and(|last| last == "mod") {
                modules.pop();
            }
            (path, modules)
        })
        .filter(|(_, modules)| !matches!(modules.last().map(String::as_str), Some("lib" | "tests" | "testing")))
        .collect()
}

/// The code of a file without its comments and tests.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).expect("a file");
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.map(|line| line.split(" // ").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// Every path in `code` that begins with `start`, as the modules and names behind it; braces are opened.
fn paths(code: &str, start: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices(start) {
        let before = code[..at].chars().next_back();
        if before.is_none_or(|c| !c.is_alphanumeric() && !"_:\"".contains(c)) {
            open(&code[at + start.len()..], &[], &mut found);
        }
    }
    found
}

/// Reads one path, or a list of them in braces; gives what is behind it.
fn open<'a>(mut rest: &'a str, before: &[String], found: &mut Vec<Vec<String>>) -> &'a str {
    let mut path = before.to_vec();
    loop {
        rest = rest.trim_start();
        if let Some(list) = rest.strip_prefix('{') {
            rest = list;
            loop {
                rest = open(rest, &path, found).trim_start();
                match rest.chars().next() {
                    Some(',') => rest = &rest[1..],
                    Some('}') => return &rest[1..],
                    _ => return rest,
                }
            }
        }
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        if end > 0 {
            path.push(rest[..end].to_owned());
        }
        rest = &rest[end..];
        match rest.strip_prefix("::") {
            Some(more) if !path.is_empty() => rest = more,
            _ => {
                found.push(path);
                return rest;
            }
        }
    }
}

/// The imports of a file that run upwards, or to a room that is not listed.
fn upward(modules: &[String], code: &str, rooms: &[Vec<String>]) -> Vec<String> {
    let floor: BTreeMap<&[String], usize> = rooms.iter().enumerate().map(|(floor, room)| (&**room, floor)).collect();
    // The deepest room that a path of modules and names leads to, as its depth and its floor.
    let room = |path: &[String]| (1..=path.len()).rev().find_map(|end| Some((end, *floor.get(&path[..end])?)));
    let Some(own) = floor.get(modules) else { return vec!["is not listed".to_owned()] };
    let parent = &modules[..modules.len() - 1];
    // The command line is a program of several files: `crate` is its own root, and `stopinator` the library.
    let program: &[String] = if modules[0] == "cli" { &modules[..1] } else { &[] };
    let mut imports: Vec<Vec<String>> =
        paths(code, "crate::").into_iter().map(|path| [program, &path].concat()).collect();
    imports.extend(paths(code, "stopinator::"));
    imports.extend(paths(code, "super::").into_iter().map(|path| [parent, &path].concat()));
    imports.extend(paths(code, "self::").into_iter().map(|path| [modules, &path].concat()));
    let runs_down = |path: &Vec<String>| match room(path) {
        // What is below a face knows nothing of it, though it may hand out what stands further down.
        Some((depth, floor)) => floor >= *own && !(depth < modules.len() && modules.starts_with(&path[..depth])),
        None => false,
    };
    imports.into_iter().filter(|path| !runs_down(path)).map(|path| path.join("::")).collect()
}

#[test]
fn every_import_runs_downwards() {
    let rooms = rooms();
    let mut wrong = Vec::new();
    let files = files();
    for (path, modules) in &files {
        for import in upward(modules, &code(path), &rooms) {
            wrong.push(format!("{}: {import}", modules.join("/")));
        }
    }
    for room in &rooms {
        let is_program =
            |modules: &[String]| modules.split_last().is_some_and(|(last, folder)| last == "main" && folder == room);
        if !files.iter().any(|(_, modules)| modules == room || is_program(modules)) {
            wrong.push(format!("{}: is listed, and is no file", room.join("/")));
        }
    }
    assert!(wrong.is_empty(), "see the list of rooms in docs/design.md:\n{}", wrong.join("\n"));
}

/// The test itself: each kind of import that runs upwards is seen.
#[test]
fn an_import_that_runs_upwards_is_seen() {
    let rooms: Vec<Vec<String>> = [
        &["cli"][..],
        &["cli", "table"],
        &["cli", "screen"],
        &["run"],
        &["plan"],
        &["plan", "decide"],
        &["plan", "table"],
        &["place"],
    ]
    .map(|room| room.iter().map(|module| (*module).to_owned()).collect())
    .into();
    for (room, code, expected) in [
        ("plan/decide", "use crate::place::Region;\nuse super::table::{a, b};", vec![]),
        ("plan/decide", "use crate::run::{Run,\n    run};", vec!["run::Run", "run::run"]),
        ("plan/table", "use super::decide::decide;", vec!["plan::decide::decide"]),
        ("plan/table", "use super::Plan;", vec!["plan::Plan"]),
        ("plan/table", "use crate::plan::Plan;", vec!["plan::Plan"]),
        ("plan", "mod decide; pub use decide::x; use self::table::Table;", vec![]),
        ("place", "let plan = crate::plan::decide::decide(x);", vec!["plan::decide::decide"]),
        ("place", "use crate::{plan::{Plan, table}, place};", vec!["plan::Plan", "plan::table"]),
        ("run", "use crate::{plan::{Plan, table}, place};", vec![]),
        ("run", "use crate::attic::Box;", vec!["attic::Box"]),
        ("attic", "", vec!["is not listed"]),
        ("place", "let x = subcrate::run::x;", vec![]),
        ("cli/table", "use crate::screen::Screen;\nuse stopinator::run::run;", vec![]),
        ("cli/screen", "use crate::table::Table;", vec!["cli::table::Table"]),
        ("place", "use stopinator::cli::screen::Screen;", vec!["cli::screen::Screen"]),
    ] {
        let modules: Vec<String> = room.split('/').map(str::to_owned).collect();
        assert_eq!(upward(&modules, code, &rooms), expected, "{room}: {code}");
    }
}
