//! The fleet of the examples.

use super::{Program, fleet};
use crate::support::ec2::{Ec2, Machine};

/// The afternoon of the examples.
pub const NOW: &str = "2026-11-23T16:02:00Z";

/// The program at a terminal of 80 columns in Berlin, with two profiles that work, two that do not, and a list of prices.
pub fn program() -> (Program, Ec2) {
    let (program, ec2) = fleet(machines());
    let program = program.file(".aws/config", PROFILES).file("prices.csv", PRICES).of_the_day("prices.csv", NOW);
    (program.with("TZ", "Europe/Berlin").columns(80).without("AWS_REGION").without("AWS_ACCESS_KEY_ID"), ec2)
}

pub fn machines() -> Vec<Machine> {
    let running = |id: &str, name: &str, tag: &str| {
        Machine::running(id)
            .in_region("eu-central-1")
            .named(name)
            .tagged("Stopinator", tag)
            .launched("2026-11-23T07:00:12.000Z")
    };
    let stopped = |id: &str, name: &str, tag: &str| {
        Machine {
            transition_reason: "User initiated (2026-11-22 18:00:07 GMT)".into(),
            ..Machine::stopped(id).in_region("eu-central-1").named(name).tagged("Stopinator", tag)
        }
        .launched("2026-11-20T07:00:12.000Z")
    };
    let staging = |machine: Machine| Machine { account: "staging", ..machine };
    let type_of = |instance_type, machine: Machine| Machine { instance_type, ..machine };
    vec![
        type_of("m6i.large", running("i-0bed4578ae2020008", "web-1", "weekdays 08:00-18:00 Europe/Berlin")),
        type_of("m6i.large", running("i-03e0c91e778ae0010", "web-2", "weekdays 08:00-18:00 Europe/Berlin")),
        type_of(
            "c6i.4xlarge",
            running("i-0bd44cc440f5a0018", "build-server", "weekdays 08:00-18:00 Europe/Berlin")
                .tagged("Stopinator-Hold", "until 2026-11-23 21:00"),
        ),
        type_of("r6i.xlarge", stopped("i-03c7d06a0a6060020", "night-batch", "weekdays 18:00-02:00 Europe/Berlin")),
        type_of("t3.large", running("i-0bbb540fd3cb20028", "analytics", "weekday 08:00-18:00")),
        running("i-07a1f5a0b33e10030", "demo", "true"),
        running("i-0c2e7c0d4b1f20031", "legacy", "false"),
        type_of(
            "c6i.2xlarge",
            running("i-0ba25b5b66a0a0038", "jenkins-agent-linux-amd64-large-03", "Mon 06:00 - Fri 20:00 Europe/Berlin"),
        ),
        running("i-0d8f0c9e7a6b50039", "eks-node", "true").tagged("aws:autoscaling:groupName", "nodes"),
        staging(type_of("r6i.large", running("i-0395df01300b60040", "db-1", "weekdays 07:00-20:00 Europe/Berlin"))),
        staging(
            type_of(
                "m6i.large",
                stopped("i-0b7069f28c4ba0058", "api-seoul", "weekdays 09:00-19:00 Asia/Seoul except 12-24..01-01"),
            )
            .in_region("ap-northeast-2"),
        ),
        staging(
            type_of("t3.large", running("i-0363ed9855b660060", "서울-데모", "daily 10:00-22:00 Asia/Seoul"))
                .in_region("ap-northeast-2")
                .launched("2026-11-23T15:40:00.000Z"),
        ),
    ]
}

pub const PROFILES: &str = "\
[profile dev]
region = eu-central-1
aws_access_key_id = key
aws_secret_access_key = secret
[profile staging]
region = eu-central-1
aws_access_key_id = staging
aws_secret_access_key = secret
[profile empty]
region = eu-central-1
[sso-session acme]
sso_region = eu-central-1
sso_start_url = https://acme.awsapps.com/start
[profile sso]
region = eu-central-1
sso_session = acme
sso_account_id = 111122223333
sso_role_name = ops
";

pub const PRICES: &str = "\
region,instance_type,usd_per_hour
eu-central-1,m6i.large,0.115
eu-central-1,c6i.4xlarge,0.776
eu-central-1,r6i.xlarge,0.304
eu-central-1,c6i.2xlarge,0.388
eu-central-1,r6i.large,0.152
ap-northeast-2,m6i.large,0.118
ap-northeast-2,t3.large,0.104
";
