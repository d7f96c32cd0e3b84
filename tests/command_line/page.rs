//! The page of a week: whole in itself, and fit for every screen.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::demo::{self, NOW};
use super::{Program, fleet};
use crate::support::ec2::Machine;
use crate::support::id;

fn page(program: &Program, arguments: &[&str]) -> String {
    let said = program.run(&[&["week", "--html", "week.html", "--now", NOW], arguments].concat());
    assert_eq!(said.code, 0, "{}", said.err);
    fs::read_to_string(program.home.join("week.html")).expect("a page")
}

const ALL: [&str; 8] = ["-p", "dev", "-p", "staging", "-r", "all", "--prices", "prices.csv"];

#[test]
fn it_says_what_the_table_says() {
    let (program, _ec2) = demo::program();
    let page = page(&program, &ALL);
    for text in [
        "<title>Week of Monday 23 November 2026",
        "<b>63%</b>",
        "<b>842 h</b>",
        "<h2>1 to mend</h2>",
        "<h2>8 with a schedule</h2>",
        "<h2>3 without hours of their own</h2>",
        "<bdi>서울-데모</bdi>",
        "<title>on Mon 08:00 to Mon 18:00</title>",
        "<title>held Mon 17:02 to Mon 21:00</title>",
        "Only the bill of the month is a proof.",
    ] {
        assert!(page.contains(text), "{text} is not in\n{page}");
    }
    let by_tag = self::page(&program, &[&ALL[..], &["--by", "tag"]].concat());
    assert!(
        by_tag.contains("3 × weekdays 08:00-18:00 Europe&#x2f;Berlin") && by_tag.contains("<summary>which</summary>"),
        "{by_tag}"
    );
}

/// Its own policy forbids every request and every script, and it has none.
#[test]
fn it_asks_nobody() {
    let (program, _ec2) = demo::program();
    let page = page(&program, &ALL);
    let policy = "content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\"";
    assert!(page.contains(policy));
    let lower = page.to_ascii_lowercase();
    for part in ["<script", "src=", "http:", "https:", "@import", "url(", "javascript:", "<iframe", "<img", "onload"] {
        assert!(!lower.contains(part), "{part}");
    }
    assert_eq!(lower.matches("href=").count(), 1);
    assert!(lower.contains("href=\"data:,\""));
}

#[test]
fn names_and_tags_are_text() {
    let hostile = |n, name: &str, tag: &str| Machine::running(id(n)).named(name).tagged("Stopinator", tag);
    let (program, _ec2) = fleet([
        hostile(1, "<script>alert(1)</script>", "weekdays 08:00-18:00"),
        hostile(2, "\"><img src=x onerror=alert(1)>", "<b>weekdays</b>"),
        hostile(3, "\u{202e}\u{1b}[2J", "'\"&"),
    ]);
    let page = page(&program, &[]);
    assert!(!page.contains("<script") && !page.contains("<img") && !page.contains("<b>weekdays"), "{page}");
    assert!(!page.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'));
    assert!(page.contains("&lt;script&gt;") && page.contains("&lt;b&gt;weekdays"), "{page}");
}

/// In a browser, where there is one: at every width nothing stands over, and no request is made.
#[test]
fn a_browser_shows_it_whole() {
    let Some(browser) = ["chromium", "chromium-browser", "google-chrome"].into_iter().find(|name| is_there(name))
    else {
        eprintln!("skipped: there is no Chromium here");
        return;
    };
    let (program, _ec2) = demo::program();
    for (by, widths) in [("instance", [320, 390, 760, 1200]), ("tag", [320, 390, 760, 1200])] {
        let page = page(&program, &[&ALL[..], &["--by", by]].concat());
        // The page in a frame of each width, measured from outside: its own policy lets no script into it.
        let mut frames = String::from("<!doctype html><body>");
        for width in widths {
            let escaped = page.replace('&', "&amp;").replace('"', "&quot;");
            frames.push_str(&format!(
                "<iframe style=\"border:0;width:{width}px;height:900px\" srcdoc=\"{escaped}\"></iframe>"
            ));
        }
        frames.push_str(
            "<script>onload=()=>{document.title=[...document.querySelectorAll('iframe')].map(f=>{const d=f.contentDocument.documentElement;\
             return d.scrollWidth-d.clientWidth}).join()+' requests '+performance.getEntriesByType('resource').filter(e=>!e.name.startsWith('about:')).length}</script>",
        );
        fs::write(program.home.join("frames.html"), frames).expect("a file");
        let title = title_in(browser, &program.home.join("frames.html"));
        assert_eq!(title, "0,0,0,0 requests 0", "by {by}, at {widths:?}");
    }
}

fn is_there(name: &str) -> bool {
    Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success())
}

fn title_in(browser: &str, file: &Path) -> String {
    let folder = file.with_extension("profile");
    let output = Command::new(browser)
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", folder.display()))
        .arg(format!("file://{}", file.display()))
        .output()
        .expect("the browser");
    let dom = String::from_utf8_lossy(&output.stdout).into_owned();
    let title =
        dom.rsplit_once("<title>").and_then(|(_, rest)| rest.split_once("</title>")).map(|(title, _)| title.to_owned());
    title.unwrap_or_else(|| panic!("{dom}{}", String::from_utf8_lossy(&output.stderr)))
}
