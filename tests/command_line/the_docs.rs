//! What pages and pictures show of the command line is what the program prints. `UPDATE_DOCS=1` writes them anew.

use std::path::{Path, PathBuf};
use std::{env, fs};

use super::Program;
use super::demo::{self, NOW};

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")
}

/// Holds a file to what it should be, or writes it.
fn hold(path: &Path, should: &str) {
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, should).expect("a file");
        return;
    }
    let is = fs::read_to_string(path).unwrap_or_default();
    let name = path.file_name().unwrap_or_default().display();
    assert!(
        is == should,
        "{name} is not what the program prints; UPDATE_DOCS=1 cargo test --features cli the_docs writes it"
    );
}

/// Words of a command line, as a shell takes them apart: quotes keep blanks.
fn words(line: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for (place, part) in line.split('\'').enumerate() {
        if place % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

fn printed(program: &Program, line: &str) -> String {
    let words = words(line.strip_prefix("$ stopinator ").unwrap_or_default());
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let said = program.run(&[&words[..], &["--now", NOW]].concat());
    format!("{}{}", said.out, said.err).trim_end().to_owned()
}

/// The pages that people read: those on top, and those in `docs`.
fn pages() -> Vec<PathBuf> {
    let files = [docs().join(".."), docs()].into_iter().flat_map(|folder| fs::read_dir(folder).expect("a folder"));
    let mut pages: Vec<PathBuf> = files.map(|file| file.expect("a file").path()).collect();
    pages.retain(|path| path.extension().is_some_and(|kind| kind == "md"));
    pages.sort();
    pages
}

/// Each `console` block of a page begins with a command line; what follows is what it prints.
#[test]
fn the_pages_blocks_are_what_is_printed() {
    let (program, _ec2) = demo::program();
    let program = program.columns(80);
    let mut blocks = 0;
    for path in pages() {
        let text = fs::read_to_string(&path).expect("a page");
        let mut should = String::new();
        for (place, part) in text.split("```").enumerate() {
            let part = match part.strip_prefix("console\n").filter(|_| place % 2 == 1) {
                Some(block) => {
                    let line = block.lines().next().unwrap_or_default();
                    assert!(line.starts_with("$ stopinator "), "{}: `{line}` cannot be tried here", path.display());
                    blocks += 1;
                    format!("console\n{line}\n{}\n", printed(&program, line))
                }
                None => part.to_owned(),
            };
            should.push_str(&part);
            should.push_str("```");
        }
        should.truncate(should.len() - "```".len());
        hold(&path, &should);
    }
    assert!(blocks > 15, "{blocks}");
}

#[test]
fn the_pictures_are_what_is_printed() {
    let (program, _ec2) = demo::program();
    let program = program.columns(80).with("CLICOLOR_FORCE", "1");
    for (name, line) in [
        ("plan", "$ stopinator plan -p dev --at 18:05"),
        ("week", "$ stopinator week -p dev -p staging"),
        ("check", "$ stopinator check 'weekday 8-18h EST'"),
        // Wide letters would shift the rest of their row.
        ("explain", "$ stopinator explain -p dev build-server"),
    ] {
        let text = format!("{line}\n\n{}\n", printed(&program, line));
        let term = anstyle_svg::Term::new().palette(anstyle_svg::WIN10_CONSOLE);
        let picture = term.fg_color(rgb(0xd8_dee6)).bg_color(rgb(0x12_161c)).render_svg(&text);
        hold(&docs().join("pictures").join(format!("{name}.svg")), &picture);
    }
}

fn rgb(color: u32) -> clap::builder::styling::Color {
    let [_, red, green, blue] = color.to_be_bytes();
    clap::builder::styling::RgbColor(red, green, blue).into()
}
