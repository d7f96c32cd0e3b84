//! What goes wrong before there is anything to show, and what is shown of the rest.

use super::demo::{self, NOW};
use super::{Program, fleet};
use crate::support::ec2::Machine;
use crate::support::id;

fn web(n: usize) -> Machine {
    Machine::running(id(n)).named(&format!("web-{n}")).tagged("Stopinator", "weekdays 08:00-18:00")
}

/// The exit code, and what is said on standard error.
fn said(program: &Program, arguments: &[&str]) -> (i32, String) {
    let said = program.run(&[arguments, &["--now", NOW]].concat());
    (said.code, said.err.trim().to_owned())
}

#[test]
fn an_sso_session_that_is_over() {
    let config = "\
[sso-session acme]
sso_region = eu-central-1
sso_start_url = https://acme.awsapps.com/start
[profile acme-dev]
region = eu-central-1
sso_session = acme
sso_account_id = 111122223333
sso_role_name = ops
";
    let (program, _ec2) = fleet([]);
    let program = program.file(".aws/config", config);
    std::fs::create_dir_all(program.home.join(".aws/sso/cache")).expect("a folder");
    let expected = "error: acme-dev: the SSO session has expired: aws sso login --profile acme-dev";
    assert_eq!(said(&program, &["plan", "-p", "acme-dev"]), (3, expected.to_owned()), "never begun");
    // The file bears the SHA-1 of the session's name.
    let cache = ".aws/sso/cache/293abb6b76d7791c0732cc517d38c4b5c734b87f.json";
    let program = program.file(cache, r#"{"accessToken": "t", "expiresAt": "2020-01-01T00:00:00Z", "region": "eu-central-1", "startUrl": "https://acme.awsapps.com/start"}"#);
    assert_eq!(said(&program, &["plan", "-p", "acme-dev"]), (3, expected.to_owned()), "expired");
    let program = program.file(cache, r#"{"accessToken": "t", "expiresAt": "2100-01-01T00:00:00Z", "region": "eu-central-1", "startUrl": "https://acme.awsapps.com/start"}"#);
    let seen = program.run(&["plan", "-p", "acme-dev", "-o", "json"]);
    assert_eq!(seen.code, 0, "{}", seen.err);
}

#[test]
fn no_credentials() {
    let (program, _ec2) = fleet([]);
    let program = program.without("AWS_ACCESS_KEY_ID");
    let expected = "no credentials: set AWS_PROFILE, or run aws configure; aws sts get-caller-identity must work";
    assert_eq!(said(&program, &["plan"]), (3, format!("error: {expected}")));
    let program = program.file(".aws/config", "[profile empty]\nregion = eu-central-1\n");
    assert_eq!(said(&program, &["plan", "-p", "empty"]), (3, format!("error: empty: {expected}")));
}

const NEEDS_CLI: &str = "\
[profile base]
region = ap-northeast-2
aws_access_key_id = key
aws_secret_access_key = secret
mfa_serial = arn:aws:iam::111122223333:mfa/me
[profile ops]
region = ap-northeast-2
role_arn = arn:aws:iam::111122223333:role/ops
mfa_serial = arn:aws:iam::111122223333:mfa/me
source_profile = base
[profile granted]
region = ap-northeast-2
credential_process = granted credential-process
[profile login]
region = ap-northeast-2
login_session = arn:aws:iam::111122223333:user/me
";

#[test]
fn what_only_the_aws_cli_does() {
    let (program, _ec2) = fleet([Machine { account: "exported", ..web(1) }]);
    let bin = program.home.join("bin");
    std::fs::create_dir_all(&bin).expect("a folder");
    let program = program.file(".aws/config", NEEDS_CLI).with("PATH", &bin.display().to_string()).without("AWS_REGION");
    for (profile, wants) in [("ops", "MFA"), ("granted", "credential_process"), ("login", "aws login")] {
        let expected = format!(
            "error: {profile}: profile {profile} wants {wants}, which needs the AWS CLI: install it, or set AWS_ACCESS_KEY_ID \
             and the others"
        );
        assert_eq!(said(&program, &["plan", "-p", profile]), (3, expected));
    }
    let seen = program.run(&["plan", "-p", "base"]);
    assert_eq!(seen.code, 0, "no role, no code: {}", seen.err);
    let keys = r#"{"Version": 1, "AccessKeyId": "exported", "SecretAccessKey": "s", "SessionToken": "t", "Expiration": "2100-01-01T00:00:00+00:00"}"#;
    let script = format!("#!/bin/sh\necho \"$@\" > {}/asked\necho '{keys}'\n", program.home.display());
    let program = program.file("bin/aws", &script);
    make_executable(&bin.join("aws"));
    for profile in ["ops", "granted", "login"] {
        let seen = program.run(&["plan", "-p", profile, "-o", "json"]);
        assert_eq!((seen.code, seen.json()["counts"]["found"].as_u64()), (0, Some(1)), "{profile}: {}", seen.err);
        let asked = std::fs::read_to_string(program.home.join("asked")).expect("it was asked");
        assert_eq!(asked.trim(), format!("configure export-credentials --profile {profile} --format process"));
    }
    let program = program.file("bin/aws", "#!/bin/sh\necho 'the code is wrong' >&2\nexit 253\n");
    let (code, err) = said(&program, &["plan", "-p", "ops"]);
    assert_eq!(code, 3);
    assert!(
        err.contains("the code is wrong") && err.contains("export-credentials --profile ops: it ended with"),
        "{err}"
    );
}

fn make_executable(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
}

/// Each finds its own instance, which only its own key can see.
#[test]
fn credentials_as_every_aws_tool_finds_them() {
    let accounts = ["key", "ops", "web", "container", "profile"];
    let machines = accounts.into_iter().zip(1..).map(|(account, n)| Machine { account, ..web(n) });
    let (program, _ec2) = fleet(machines);
    let endpoint = program.variable("AWS_ENDPOINT_URL");
    let config = "\
[profile profile]
aws_access_key_id = profile
aws_secret_access_key = secret
[profile ops]
role_arn = arn:aws:iam::111122223333:role/ops
source_profile = profile
";
    let program = program.file(".aws/config", config).file("token", "token");
    let found = |program: &Program, arguments: &[&str]| {
        let seen = program.run(&[&["plan", "-o", "json"], arguments].concat());
        assert_eq!(seen.code, 0, "{arguments:?}: {}", seen.err);
        seen.json()["instances"][0]["name"].as_str().map(str::to_owned)
    };
    assert_eq!(found(&program, &[]).as_deref(), Some("web-1"), "the environment");
    // A profile that is named comes before the environment's keys.
    assert_eq!(found(&program, &["-p", "profile"]).as_deref(), Some("web-5"));
    assert_eq!(found(&program, &["-p", "ops"]).as_deref(), Some("web-2"), "an assumed role");
    let program = program.without("AWS_ACCESS_KEY_ID");
    let by_name = program.with("AWS_PROFILE", "profile");
    assert_eq!(found(&by_name, &[]).as_deref(), Some("web-5"), "AWS_PROFILE");
    let by_token = by_name
        .without("AWS_PROFILE")
        .with("AWS_WEB_IDENTITY_TOKEN_FILE", "token")
        .with("AWS_ROLE_ARN", "arn:aws:iam::111122223333:role/web");
    assert_eq!(found(&by_token, &[]).as_deref(), Some("web-3"), "web identity");
    let in_container = by_token
        .without("AWS_WEB_IDENTITY_TOKEN_FILE")
        .with("AWS_CONTAINER_CREDENTIALS_FULL_URI", &format!("{endpoint}/container"));
    assert_eq!(found(&in_container, &[]).as_deref(), Some("web-4"), "CloudShell");
}

#[test]
fn no_region() {
    let (program, _ec2) = demo::program();
    let program =
        program.file(".aws/config", "[profile acme-dev]\naws_access_key_id = key\naws_secret_access_key = secret\n");
    let expected = "error: no region: give --region, or set one in profile acme-dev";
    assert_eq!(said(&program, &["plan", "-p", "acme-dev"]), (2, expected.to_owned()));
    let program = program.with("AWS_ACCESS_KEY_ID", "key");
    assert_eq!(said(&program, &["plan"]), (2, "error: no region: give --region, or set AWS_REGION".to_owned()));
    let (code, err) = said(&program, &["plan", "-r", "Frankfurt"]);
    assert!(code == 2 && err.starts_with("error: --region: "), "{err}");
}

#[test]
fn nothing_is_found() {
    let other = |n| Machine::running(id(n)).tagged("stopinator", "true");
    let (program, _ec2) = fleet((1..4).map(other));
    assert_eq!(
        said(&program, &["plan"]),
        (
            0,
            "no instance in ap-northeast-2 carries the tag Stopinator; 3 carry stopinator: keys are case-sensitive"
                .to_owned()
        )
    );
    let (program, _ec2) = fleet([]);
    for command in ["plan", "week", "run"] {
        assert_eq!(
            said(&program, &[command]),
            (0, "no instance in ap-northeast-2 carries the tag Stopinator".to_owned())
        );
    }
}

#[test]
fn names_that_are_none_or_several() {
    let (program, _ec2) = fleet([web(1), web(2)]);
    let none = "error: no instance is named web-01 in ap-northeast-2; did you mean web-1?";
    for command in [
        &["plan", "web-01"][..],
        &["explain", "web-01"],
        &["hold", "web-01", "--for", "3h", "--yes"],
        &["run", "web-01", "--yes"],
    ] {
        assert_eq!(said(&program, command), (1, none.to_owned()));
    }
    let (program, _ec2) = fleet([web(1), Machine { id: id(2), ..web(1) }]);
    let twice = format!("error: 2 instances are named web-1: give the id ({}, {})", id(1), id(2));
    assert_eq!(said(&program, &["explain", "web-1"]), (1, twice));
    let unknown = "error: EC2 does not know i-00000000000000009 in ap-northeast-2";
    for command in [
        &["plan", "i-00000000000000009"][..],
        &["explain", "i-00000000000000009"],
        &["run", "--yes", "i-00000000000000009"],
    ] {
        assert_eq!(said(&program, command), (1, unknown.to_owned()));
    }
}

#[test]
fn one_region_or_account_does_not_answer() {
    let (program, ec2) = demo::program();
    ec2.refuse("us-east-1", "DescribeInstances", "UnauthorizedOperation", "You are not authorized");
    let expected = "dev us-east-1: not observed: UnauthorizedOperation: You are not authorized";
    let seen = program.run(&["plan", "-p", "dev", "-r", "all", "--now", NOW]);
    assert_eq!((seen.code, seen.err.trim()), (3, expected));
    assert!(seen.out.contains("night-batch") || seen.out.contains("already-stopped"), "{}", seen.out);
    let seen = program.run(&["plan", "-p", "dev", "-r", "us-east-1,eu-central-1", "-o", "json", "--now", NOW]);
    let json = seen.json();
    assert_eq!((seen.code, json["unobserved"][0]["region"].as_str()), (3, Some("us-east-1")));
    assert_eq!(json["unobserved"][0]["why"], "UnauthorizedOperation: You are not authorized");
    assert_eq!(json["counts"]["found"], 9);
    // Nothing is held, and no name is taken for the only one, where not all can be seen.
    let (code, err) = said(&program, &["hold", "-p", "dev", "-r", "all", "web-1", "--for", "3h", "--yes"]);
    assert!(code == 3 && err.contains("us-east-1: not observed"), "{err}");
    // One account of two.
    let config = format!("{}[profile broken]\nregion = eu-central-1\n", demo::PROFILES);
    let program = program.file(".aws/config", &config);
    let seen = program.run(&["plan", "-p", "dev", "-p", "broken", "--now", NOW]);
    assert_eq!(seen.code, 3);
    assert!(
        seen.err.starts_with("broken: no credentials: ") && seen.out.contains("9 kept"),
        "{}{}",
        seen.out,
        seen.err
    );
}

/// What cannot be found may be where nobody could look.
#[test]
fn a_name_that_may_be_where_nobody_could_look() {
    let (program, ec2) = demo::program();
    let config = format!("{}[profile broken]\nregion = eu-central-1\n", demo::PROFILES);
    let program = program.file(".aws/config", &config);
    let (code, err) = said(&program, &["plan", "-p", "dev", "-p", "broken", "web-9"]);
    assert_eq!(code, 3);
    assert!(
        err.starts_with("error: broken: no credentials: ")
            && err.ends_with("no instance is named web-9 in what could be looked at"),
        "{err}"
    );
    let (code, err) = said(&program, &["plan", "-p", "dev", "-p", "broken", "i-00000000000000009"]);
    assert_eq!(code, 3);
    assert!(
        err.starts_with("i-00000000000000009 could not be found in what was looked at\nbroken: no credentials"),
        "{err}"
    );
    // A report shows what it can, by name too; what changes something does not.
    ec2.refuse("us-east-1", "DescribeInstances", "UnauthorizedOperation", "You are not authorized");
    let seen = program.run(&["plan", "-p", "dev", "-r", "all", "web-*", "--now", NOW]);
    assert!(
        seen.code == 3 && seen.out.contains("web-2") && seen.err.contains("us-east-1: not observed"),
        "{}",
        seen.out
    );
    for command in [&["hold", "--for", "3h", "--yes"][..], &["run", "--yes"]] {
        let seen = program.run(&[command, &["-p", "dev", "-r", "all", "web-*", "--now", NOW]].concat());
        assert!(seen.code == 3 && seen.err.contains("so nothing was done"), "{}", seen.err);
    }
    let seen = program.run(&["week", "-p", "dev", "-r", "all", "--html", "week.html", "--now", NOW]);
    let page = std::fs::read_to_string(program.home.join("week.html")).expect("a page");
    assert!(seen.code == 3 && page.contains("<h2>Not looked at</h2>") && page.contains("us-east-1: not observed"));
}

#[test]
fn names_in_errors_are_harmless() {
    let (program, _ec2) = fleet([web(1).named_anew("web-1\u{1b}c")]);
    let (code, err) = said(&program, &["plan", "web-1"]);
    assert_eq!((code, &*err), (1, "error: no instance is named web-1 in ap-northeast-2; did you mean web-1\\x1bc?"));
}

#[test]
fn a_profile_of_the_environment_that_is_none() {
    let (program, _ec2) = demo::program();
    let expected = "error: there is no profile dve in ~/.aws/config or ~/.aws/credentials";
    assert_eq!(said(&program.with("AWS_PROFILE", "dve"), &["plan"]), (3, expected.to_owned()));
}

#[test]
fn profiles() {
    let (program, _ec2) = demo::program();
    let config = format!(
        "{}[profile dev-again]\nregion = eu-central-1\naws_access_key_id = key\naws_secret_access_key = s\n",
        demo::PROFILES
    );
    let program = program.file(".aws/config", &config);
    let seen = program.run(&["plan", "-p", "dev*", "-o", "json", "--now", NOW]);
    let left_out = "dev-again: left out: it is the account of dev, 123456789012";
    assert_eq!((seen.code, seen.err.trim()), (0, left_out), "nothing is missing");
    assert_eq!(seen.json()["counts"]["found"], 9);
    assert_eq!(
        said(&program, &["plan", "-p", "dve"]),
        (2, "error: there is no profile dve; did you mean dev?".to_owned())
    );
    let none = "error: no profile fits acme-*: see aws configure list-profiles";
    assert_eq!(said(&program, &["plan", "-p", "acme-*"]), (2, none.to_owned()));
}

#[test]
fn times_and_settings_that_are_wrong() {
    let (program, _ec2) = demo::program();
    let seen = program.run(&["plan", "-p", "dev", "--at", "2027-03-28 02:30", "--now", NOW]);
    assert_eq!(seen.err.trim(), "02:30 does not exist on 2027-03-28 in Europe/Berlin; 03:00 is taken");
    assert!(seen.out.starts_with("Plan for Sunday 28 March 2027, 03:00 CEST"), "{}", seen.out);
    let (code, err) = said(&program, &["plan", "-p", "dev", "--at", "noon"]);
    assert_eq!(
        (code, &*err),
        (2, "error: --at: `noon` is no time: write 18:05, 2026-11-23 18:05, 2026-11-23T18:05:00Z or +2h30m")
    );
    let program = program.file("settings", "STOPINATOR_SCOPE=some\nSTOPINATOR_HAND_START_HOURS=soon\nPATH=/bin\n");
    let (code, err) = said(&program, &["plan", "-p", "dev", "--settings", "settings"]);
    assert_eq!(code, 2);
    assert!(
        err.contains("has 2 problems: ")
            && err.contains("STOPINATOR_SCOPE: `some`")
            && err.contains("HAND_START_HOURS"),
        "{err}"
    );
    let (code, err) = said(&program, &["plan", "-p", "dev", "--zone", "Berlin"]);
    assert!(
        code == 2
            && err.starts_with("error: --zone: `Berlin`: a zone is")
            && err.ends_with("did you mean `Europe/Berlin`?"),
        "{err}"
    );
    let (code, err) = said(&program, &["plan", "-p", "dev", "--settings", "nowhere"]);
    assert!(code == 2 && err.starts_with("error: --settings: nowhere: "), "{err}");
    let (code, err) = said(&program, &["plan", "--frobnicate"]);
    assert!(code == 2 && err.contains("--frobnicate"), "{err}");
}

/// Flags come before the file, and the file before the environment.
#[test]
fn settings_in_their_order() {
    let (program, _ec2) = demo::program();
    let program = program.with("STOPINATOR_TAG_KEY", "Environment").file(
        "function.json",
        r#"{"STOPINATOR_TAG_KEY": "File", "STOPINATOR_REGIONS": "us-east-1,eu-central-1", "LOG": "1"}"#,
    );
    let key = |program: &Program, arguments: &[&str]| {
        let json = program.run(&[&["plan", "-p", "dev", "-o", "json"], arguments].concat()).json();
        json["settings"]["tag_key"].as_str().map(str::to_owned)
    };
    assert_eq!(key(&program, &[]).as_deref(), Some("Environment"));
    assert_eq!(key(&program, &["--settings", "function.json"]).as_deref(), Some("File"));
    assert_eq!(key(&program, &["--settings", "function.json", "--tag-key", "Flag"]).as_deref(), Some("Flag"));
    let program = program.reading(r#"{"STOPINATOR_TAG_KEY": "Input"}"#);
    assert_eq!(key(&program, &["--settings", "-"]).as_deref(), Some("Input"));
}

#[test]
fn exit_codes_tell_what_was_found_where_somebody_asks() {
    let (program, _ec2) = demo::program();
    let code = |arguments: &[&str]| said(&program, &[&["plan", "-p", "dev", "--at", "18:05"], arguments].concat()).0;
    assert_eq!(code(&[]), 0);
    assert_eq!(code(&["--exit-code"]), 1, "a tag does not parse");
    assert_eq!(code(&["--exit-code", "web-1"]), 4, "something would be stopped");
    assert_eq!(code(&["--exit-code", "demo"]), 0);
}
