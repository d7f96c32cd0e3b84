//! Who signs in, by which profile: as every AWS tool finds it, and through the AWS CLI where the SDK does not.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use aws_config::default_provider::region::DefaultRegionChain;
#[expect(deprecated, reason = "its new name is in a crate that nothing else here needs")]
use aws_config::profile::profile_file::ProfileFiles;
use aws_config::profile::{Profile, ProfileFileCredentialsProvider, ProfileSet};
use aws_config::provider_config::ProviderConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_ec2::config::{Credentials, ProvideCredentials};
use aws_types::os_shim_internal::{Env, Fs};
use jiff::Timestamp;
use serde::Deserialize;

use super::call::{CallError, chain};
use super::clients::{Clients, http_client};
use crate::place::Region;
use crate::settings::Settings;

/// Where an account is asked that names no region of its own.
const ANY_REGION: &str = "us-east-1";

/// Profiles that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("the profiles cannot be read: {0}")]
pub struct ProfilesError(String);

/// Why somebody could not sign in; the sentence ends with what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignInError {
    /// The session of IAM Identity Center is over, or never began.
    #[error("the SSO session has expired: aws sso login --profile {0}")]
    Sso(String),
    /// The profile wants what only the AWS CLI does, and that is not there.
    #[error(
        "profile {profile} wants {wants}, which needs the AWS CLI: install it, or set AWS_ACCESS_KEY_ID and the others"
    )]
    NeedsAwsCli {
        /// The profile's name.
        profile: String,
        /// `MFA`, `aws login` or `credential_process`.
        wants: &'static str,
    },
    /// The AWS CLI could not do it either.
    #[error("aws configure export-credentials --profile {profile}: {said}")]
    AwsCli {
        /// The profile's name.
        profile: String,
        /// What it said.
        said: String,
    },
    /// Nobody has given any.
    #[error("no credentials: set AWS_PROFILE, or run aws configure; aws sts get-caller-identity must work")]
    None,
    /// There is no such profile.
    #[error("there is no profile {0} in ~/.aws/config or ~/.aws/credentials")]
    NoProfile(String),
    /// What the SDK says.
    #[error("no credentials: {0}; aws sts get-caller-identity must work")]
    Other(String),
}

/// All profiles of `~/.aws/config` and `~/.aws/credentials`, or of the files that the environment names instead.
#[derive(Debug)]
pub struct Profiles(ProfileSet);

/// Somebody who has signed in.
#[derive(Debug, Clone)]
pub struct SignedIn {
    config: SdkConfig,
}

impl Profiles {
    /// Reads them.
    ///
    /// # Errors
    ///
    /// A file that is there and no profile file.
    pub async fn read() -> Result<Self, ProfilesError> {
        #[expect(deprecated, reason = "as above")]
        let files = ProfileFiles::default();
        let profiles = aws_config::profile::load(&Fs::real(), &Env::real(), &files, None).await;
        profiles.map(Self).map_err(|error| ProfilesError(chain(&error)))
    }

    /// Their names, in order.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        self.0.profiles().collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Signs in by a profile, or without one as the environment says.
    ///
    /// # Errors
    ///
    /// Why there are no credentials, and what to do about it.
    pub async fn sign_in(&self, profile: Option<&str>) -> Result<SignedIn, SignInError> {
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12()).http_client(http_client());
        let from_environment = Env::real().get("AWS_ACCESS_KEY_ID").is_ok();
        let selected = self.0.selected_profile();
        let effective = match profile {
            Some(name) => Some(self.0.get_profile(name).ok_or_else(|| SignInError::NoProfile(name.to_owned()))?),
            None if from_environment => None,
            None => {
                let named = Env::real().get("AWS_PROFILE").ok().filter(|name| self.0.get_profile(name).is_none());
                if let Some(name) = named {
                    return Err(SignInError::NoProfile(name));
                }
                self.0.get_profile(selected)
            }
        };
        if let Some(name) = profile {
            loader = loader.profile_name(name);
        }
        if let Some((profile, wants)) = effective.and_then(|profile| Some((profile, self.wants_aws_cli(profile)?))) {
            loader = loader.credentials_provider(by_aws_cli(profile.name(), wants)?);
        } else if let Some(name) = profile {
            // A profile that somebody names comes before keys in the environment, as with the AWS CLI; the SDK has it
            // the other way.
            let region = DefaultRegionChain::builder().profile_name(name).build().region().await;
            let config = ProviderConfig::default().with_region(region.or(Some(aws_config::Region::new(ANY_REGION))));
            let provider = ProfileFileCredentialsProvider::builder().configure(&config).profile_name(name).build();
            loader = loader.credentials_provider(provider);
        }
        let config = loader.load().await;
        let provider = config.credentials_provider().ok_or(SignInError::None)?;
        if let Err(error) = provider.provide_credentials().await {
            let said = chain(&error);
            let is_sso = |profile: &&Profile| profile.get("sso_session").or(profile.get("sso_start_url")).is_some();
            // Whoever may not have the role has signed in well enough.
            return Err(match self.sources(effective).find(|source| is_sso(&&**source)) {
                Some(sso)
                    if !["Forbidden", "AccessDenied", "dispatch failure"].iter().any(|other| said.contains(other)) =>
                {
                    SignInError::Sso(sso.name().to_owned())
                }
                _ if matches!(error, CredentialsError::CredentialsNotLoaded(_)) => SignInError::None,
                _ => SignInError::Other(said.split_whitespace().collect::<Vec<_>>().join(" ")),
            });
        }
        Ok(SignedIn { config })
    }

    /// A profile, and those that it takes its credentials from.
    fn sources<'a>(&'a self, profile: Option<&'a Profile>) -> impl Iterator<Item = &'a Profile> {
        let mut seen = BTreeSet::new();
        let next = |profile: &&'a Profile| self.0.get_profile(profile.get("source_profile")?);
        std::iter::successors(profile, next).take_while(move |profile| seen.insert(profile.name().to_owned()))
    }

    /// What of a profile only the AWS CLI does: the SDK runs no program without another runtime, and asks nobody for a
    /// code (awslabs/aws-sdk-rust#527).
    fn wants_aws_cli(&self, profile: &Profile) -> Option<&'static str> {
        self.sources(Some(profile)).find_map(|source| {
            let has = |key| source.get(key).is_some();
            // Where no role is assumed nobody asks for a code.
            if has("mfa_serial") && has("role_arn") {
                Some("MFA")
            } else if has("credential_process") {
                Some("credential_process")
            } else {
                has("login_session").then_some("aws login")
            }
        })
    }
}

/// Asks the AWS CLI for a profile's credentials. It may ask for a code, on the terminal.
///
/// Source: <https://docs.aws.amazon.com/cli/latest/reference/configure/export-credentials.html>
fn by_aws_cli(profile: &str, wants: &'static str) -> Result<Credentials, SignInError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Exported {
        access_key_id: String,
        secret_access_key: String,
        session_token: Option<String>,
        expiration: Option<Timestamp>,
    }
    let arguments = ["configure", "export-credentials", "--profile", profile, "--format", "process"];
    let mut aws = Command::new("aws");
    // Keys in the environment would come before the profile.
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"] {
        aws.env_remove(name);
    }
    let run = aws.args(arguments).stdin(Stdio::inherit()).stderr(Stdio::inherit()).output();
    let failed = |said: String| SignInError::AwsCli { profile: profile.to_owned(), said };
    let output = match run {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(SignInError::NeedsAwsCli { profile: profile.to_owned(), wants });
        }
        Err(error) => return Err(failed(error.to_string())),
    };
    if !output.status.success() {
        return Err(failed(format!("it ended with {}", output.status)));
    }
    let said: Exported = serde_json::from_slice(&output.stdout)
        .map_err(|error| failed(format!("what it printed is not understood: {error}")))?;
    let since_1970 = |at: Timestamp| Duration::try_from(at.as_duration()).ok();
    let expires = said.expiration.and_then(since_1970).map(|time| SystemTime::UNIX_EPOCH + time);
    Ok(Credentials::new(said.access_key_id, said.secret_access_key, said.session_token, expires, "aws-cli"))
}

impl SignedIn {
    /// The region of the profile or the environment, where there is one.
    #[must_use]
    pub fn region(&self) -> Option<Region> {
        Region::try_from(self.config.region()?.to_string()).ok()
    }

    /// Clients for the regions, and of the services, of these settings.
    #[must_use]
    pub fn clients(&self, settings: &Settings) -> Clients {
        Clients::of(&self.config, settings)
    }

    /// The id of the account, 12 digits.
    ///
    /// # Errors
    ///
    /// The call that failed.
    pub async fn account_id(&self) -> Result<String, CallError> {
        let config = aws_sdk_sts::config::Builder::from(&self.config).region(self.some_region()).build();
        let answer = aws_sdk_sts::Client::from_conf(config).get_caller_identity().send().await;
        let answer = answer.map_err(|error| CallError::new("GetCallerIdentity", error))?;
        Ok(answer.account.unwrap_or_default())
    }

    /// All regions that the account has switched on, in order.
    ///
    /// # Errors
    ///
    /// The call that failed.
    pub async fn regions(&self) -> Result<Vec<Region>, CallError> {
        let config = aws_sdk_ec2::config::Builder::from(&self.config).region(self.some_region()).build();
        let answer = aws_sdk_ec2::Client::from_conf(config).describe_regions().send().await;
        let answer = answer.map_err(|error| CallError::new("DescribeRegions", error))?;
        let names = answer.regions.unwrap_or_default().into_iter().filter_map(|region| region.region_name);
        let mut regions: Vec<Region> = names.filter_map(|name| Region::try_from(name).ok()).collect();
        regions.sort();
        Ok(regions)
    }

    fn some_region(&self) -> aws_config::Region {
        self.config.region().cloned().unwrap_or_else(|| aws_config::Region::new(ANY_REGION))
    }
}
