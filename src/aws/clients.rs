//! Clients for each region, with the credentials and the endpoint that the environment gives.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_ec2::config::SharedAsyncSleep;
use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_async::time::SharedTimeSource;

use super::body::TrimInstances;
use super::clock::Clock;
use crate::ec2::pace::Bucket;
use crate::place::Region;
use crate::settings::Settings;

/// One EC2 client for each region of the deployment, and one of RDS where it looks after databases.
#[derive(Debug, Clone)]
pub struct Clients {
    by_region: BTreeMap<Region, aws_sdk_ec2::Client>,
    rds_by_region: BTreeMap<Region, aws_sdk_rds::Client>,
    time: SharedTimeSource,
    sleep: SharedAsyncSleep,
}

impl Clients {
    /// Clients with the credentials and the endpoint that the environment gives, as every AWS SDK reads it.
    /// Nothing is connected before the first call.
    pub async fn from_environment(settings: &Settings) -> Self {
        let loader = aws_config::defaults(BehaviorVersion::v2026_01_12());
        // Given here so that nobody looks for a default region; each client has its own.
        let region = settings.regions.first().map(|region| aws_config::Region::new(region.to_string()));
        let shared = loader.region(region).load().await;
        Self::of(&shared, settings)
    }

    /// Clients for the regions, and of the services, of these settings.
    #[must_use]
    pub fn of(shared: &aws_config::SdkConfig, settings: &Settings) -> Self {
        let clients = Self::new(&aws_sdk_ec2::config::Builder::from(shared), &settings.regions);
        if settings.databases {
            clients.with_databases(&aws_sdk_rds::config::Builder::from(shared), &settings.regions)
        } else {
            clients
        }
    }

    /// Clients that share everything in `config` but the region.
    #[must_use]
    pub fn new(config: &aws_sdk_ec2::config::Builder, regions: &[Region]) -> Self {
        // DescribeInstances is tried again by the SDK; Stop and Start are not (see `execute`).
        let config = config
            .clone()
            .interceptor(TrimInstances)
            .retry_config(RetryConfig::standard().with_max_attempts(5))
            .timeout_config(TimeoutConfig::builder().operation_attempt_timeout(Duration::from_secs(30)).build());
        let client = |region: &Region| {
            let own = config.clone().region(aws_config::Region::new(region.to_string()));
            (region.clone(), aws_sdk_ec2::Client::from_conf(own.build()))
        };
        // The clients' own clock, where they were given one: what a test drives there, it drives here.
        let as_built = config.clone().build();
        Self {
            by_region: regions.iter().map(client).collect(),
            rds_by_region: BTreeMap::new(),
            time: as_built.time_source().unwrap_or_default(),
            sleep: as_built.sleep_impl().unwrap_or_else(|| SharedAsyncSleep::new(TokioSleep::new())),
        }
    }

    /// The same, and clients of RDS that share everything in `config` but the region.
    #[must_use]
    pub fn with_databases(self, config: &aws_sdk_rds::config::Builder, regions: &[Region]) -> Self {
        let config = config
            .clone()
            .retry_config(RetryConfig::standard().with_max_attempts(5))
            .timeout_config(TimeoutConfig::builder().operation_attempt_timeout(Duration::from_secs(30)).build());
        let client = |region: &Region| {
            let own = config.clone().region(aws_config::Region::new(region.to_string()));
            (region.clone(), aws_sdk_rds::Client::from_conf(own.build()))
        };
        Self { rds_by_region: regions.iter().map(client).collect(), ..self }
    }

    /// A clock for a run that must be over `deadline` from now: the clients' own.
    #[must_use]
    pub fn clock(&self, deadline: Duration) -> Clock {
        Clock::start(self.time.clone(), self.sleep.clone(), deadline)
    }

    /// EC2 in each of these regions, which are of the deployment, for a run on this clock.
    #[must_use]
    pub fn open(&self, regions: &[Region], clock: &Clock) -> BTreeMap<Region, Ec2> {
        let ec2 = |region: &Region| {
            let client = self.by_region.get(region)?.clone();
            let describes = Mutex::new(Bucket::of_describe_instances());
            Some((region.clone(), Ec2 { client, clock: clock.clone(), describes }))
        };
        regions.iter().filter_map(ec2).collect()
    }

    /// RDS in each of these regions, for a run on this clock; none where the deployment looks after no databases.
    #[must_use]
    pub fn open_rds(&self, regions: &[Region], clock: &Clock) -> BTreeMap<Region, Rds> {
        let rds = |region: &Region| {
            let client = self.rds_by_region.get(region)?.clone();
            let calls = Mutex::new(Bucket::of_rds());
            Some((region.clone(), Rds { client, clock: clock.clone(), calls }))
        };
        regions.iter().filter_map(rds).collect()
    }
}

/// EC2 in one region, for one run.
#[derive(Debug)]
pub struct Ec2 {
    pub(super) client: aws_sdk_ec2::Client,
    pub(super) clock: Clock,
    describes: Mutex<Bucket>,
}

impl Ec2 {
    /// The client, once there is a token for a `DescribeInstances` call.
    pub(super) async fn to_describe(&self) -> &aws_sdk_ec2::Client {
        let ready = {
            // A bucket that somebody panicked over still counts.
            let mut bucket = self.describes.lock().unwrap_or_else(PoisonError::into_inner);
            let ready = bucket.has_at(1).max(self.clock.now());
            bucket.take(ready, 1);
            ready
        };
        self.clock.wait_until(ready).await;
        &self.client
    }
}

/// RDS in one region, for one run.
#[derive(Debug)]
pub struct Rds {
    pub(super) client: aws_sdk_rds::Client,
    pub(super) clock: Clock,
    /// All calls draw from one, and so do all tools of the account.
    calls: Mutex<Bucket>,
}

impl Rds {
    /// When there is, or was, a token for a call.
    pub(super) fn token_at(&self) -> Duration {
        self.bucket(|bucket| bucket.has_at(1))
    }

    /// The client, once there is a token for a call.
    pub(super) async fn to_call(&self) -> &aws_sdk_rds::Client {
        let ready = self.bucket(|bucket| {
            let ready = bucket.has_at(1).max(self.clock.now());
            bucket.take(ready, 1);
            ready
        });
        self.clock.wait_until(ready).await;
        &self.client
    }

    fn bucket<T>(&self, work: impl FnOnce(&mut Bucket) -> T) -> T {
        // A bucket that somebody panicked over still counts.
        work(&mut self.calls.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A call that AWS did not carry out, as far as this side knows.
#[derive(Debug, thiserror::Error)]
#[error("{call}: {said}")]
pub struct CallError {
    /// The API action, such as `StopInstances`.
    pub call: &'static str,
    /// EC2's code and message, or what went wrong on the way.
    pub said: String,
    /// The SDK's error, where it was the SDK's.
    #[source]
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

impl CallError {
    pub(super) fn new<E>(call: &'static str, error: SdkError<E>) -> Self
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        let said = match (error.code(), error.message()) {
            (Some(code), Some(message)) => format!("{code}: {message}"),
            (Some(code), None) => code.to_owned(),
            (None, _) => chain(&error),
        };
        Self { call, said, source: Some(error.into()) }
    }

    pub(super) fn repeated_token(call: &'static str) -> Self {
        Self { call, said: "the token of a page came again".to_owned(), source: None }
    }
}

/// An error and its causes in one line.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a String cannot fail.
        let _ = write!(line, ": {error}");
        cause = error.source();
    }
    line
}
