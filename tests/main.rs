//! What Stopinator promises, shown at the wire: the real SDK against an EC2 of our own. One module for each promise.

#![expect(unreachable_pub, reason = "nothing is reachable from outside a test binary")]
#![expect(clippy::expect_used, reason = "clippy.toml lets tests panic, but does not see that this is all tests")]

mod acts_on_what_is_due;
#[cfg(feature = "cli")]
mod command_line;
mod enters_accounts;
mod finds_every_instance;
mod finishes_the_job;
mod follows_every_event;
mod keeps_databases;
mod keeps_hours;
mod keeps_pace;
mod proves_it;
mod refuses_bad_input;
mod runs_as_a_program;
mod spares_all_others;
mod support;
mod survives_any_story;
mod tells_people;
mod template_fits_code;
