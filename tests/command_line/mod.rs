//! The command line, as a program: run over TCP against our own EC2, and what it prints.

#![expect(clippy::format_push_string, reason = "what is told here is short")]

mod agrees;
mod changes;
mod checks;
mod databases;
mod demo;
mod errors;
mod page;
mod program;
mod shows;
mod the_docs;

use program::{Program, fleet};
