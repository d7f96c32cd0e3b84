//! The program, with a home of its own and nothing of this machine's environment.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs};

use serde_json::Value;

use crate::support::clock::Clock;
use crate::support::door;
use crate::support::ec2::{Ec2, Machine};
use crate::support::rds::{Database, Rds};

/// What it is run with. Each has a folder of its own, which goes with it.
pub struct Program {
    pub home: PathBuf,
    variables: Vec<(String, String)>,
    input: String,
}

/// What it said.
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}{}", self.out, self.err))
    }
}

/// The program, and an EC2 with these machines.
pub fn fleet(machines: impl IntoIterator<Item = Machine>) -> (Program, Ec2) {
    let (program, ec2, _) = with_databases(machines, []);
    (program, ec2)
}

/// The same, and an RDS with these databases.
pub fn with_databases(
    machines: impl IntoIterator<Item = Machine>,
    databases: impl IntoIterator<Item = Database>,
) -> (Program, Ec2, Rds) {
    let clock = Clock::default();
    let ec2 = Ec2::new(clock.clone(), machines);
    let rds = Rds::new(clock.clone(), databases);
    let address = door::open(ec2.clone(), rds.clone(), clock);
    let program = Program::alone()
        .with("AWS_ENDPOINT_URL", &format!("http://{address}"))
        .with("AWS_REGION", "ap-northeast-2")
        .with("AWS_ACCESS_KEY_ID", "key")
        .with("AWS_SECRET_ACCESS_KEY", "secret")
        .with("AWS_EC2_METADATA_DISABLED", "true");
    (program, ec2, rds)
}

impl Program {
    /// Without an AWS.
    pub fn alone() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let home = env::temp_dir().join(format!("stopinator-test-{}-{number}", std::process::id()));
        fs::create_dir_all(home.join(".aws")).expect("a folder");
        let variables = vec![("HOME".to_owned(), home.display().to_string())];
        Self { home, variables, input: String::new() }.with("TZ", "UTC").with("LANG", "C.UTF-8")
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.retain(|(other, _)| other != name);
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.variables.retain(|(other, _)| other != name);
        self
    }

    pub fn variable(&self, name: &str) -> String {
        self.variables.iter().find(|(other, _)| other == name).expect("it is set").1.clone()
    }

    /// A file of its home.
    pub fn file(self, name: &str, text: &str) -> Self {
        fs::write(self.home.join(name), text).expect("a file");
        self
    }

    /// A file that was last written then: what is shown of it must not depend on the day of the test.
    pub fn of_the_day(self, name: &str, then: &str) -> Self {
        let then = then.parse::<jiff::Timestamp>().expect("a time").as_duration();
        let then = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::try_from(then).expect("after 1970");
        let file = fs::File::options().write(true).open(self.home.join(name)).expect("a file");
        file.set_modified(then).expect("a file of our own");
        self
    }

    pub fn reading(mut self, input: &str) -> Self {
        input.clone_into(&mut self.input);
        self
    }

    /// At a terminal of so many columns, as far as it is told.
    pub fn columns(self, columns: usize) -> Self {
        self.with("COLUMNS", &columns.to_string())
    }

    pub fn run(&self, arguments: &[&str]) -> Said {
        let mut program = Command::new(env!("CARGO_BIN_EXE_stopinator"))
            .args(arguments)
            .env_clear()
            .envs(self.variables.iter().cloned())
            .current_dir(&self.home)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut stdin = program.stdin.take().expect("it is piped");
        // Whoever reads nothing closes it.
        let _ = stdin.write_all(self.input.as_bytes());
        drop(stdin);
        let output = program.wait_with_output().expect("it ends");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        Said { code: output.status.code().expect("a code"), out: text(output.stdout), err: text(output.stderr) }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.home);
    }
}
