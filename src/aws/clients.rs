//! One client for each region and service, all on one HTTP client and behind one gate.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_ec2::config::retry::RetryPartition;
use aws_sdk_ec2::config::{
    Credentials, RuntimeComponents, SharedAsyncSleep, SharedCredentialsProvider, SharedHttpClient,
};
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_async::time::SharedTimeSource;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::{Builder, ConnectorBuilder};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::accounts::Hub;
use super::body::TrimInstances;
use super::call::{CALLS_AT_ONCE, take_one};
use super::clock::Clock;
use crate::ec2::pace::Bucket;
use crate::place::{Place, Region};
use crate::settings::Settings;

/// What lives as long as the process.
#[derive(Debug, Clone)]
pub struct Clients {
    ec2: BTreeMap<Region, aws_sdk_ec2::Client>,
    /// Empty where the deployment looks after no databases.
    rds: BTreeMap<Region, aws_sdk_rds::Client>,
    /// Where the deployment looks after other accounts.
    hub: Option<Arc<Hub>>,
    /// Where it tells what it does.
    bus: Option<aws_sdk_eventbridge::Client>,
    gate: Arc<Semaphore>,
    time: SharedTimeSource,
    sleep: SharedAsyncSleep,
}

impl Clients {
    /// Clients with the credentials and the endpoint that the environment gives, as every AWS SDK reads it.
    /// Nothing is connected before the first call.
    pub async fn from_environment(settings: &Settings) -> Self {
        let loader = aws_config::defaults(BehaviorVersion::v2026_01_12()).http_client(http_client());
        // Given here so that nobody looks for a default region; each client has its own.
        let region = settings.home().map(|region| aws_config::Region::new(region.to_string()));
        let shared = loader.region(region).load().await;
        Self::of(&shared, settings)
    }

    /// Clients that share everything in `shared` but the region, for the regions, services and accounts of these settings.
    #[must_use]
    pub fn of(shared: &SdkConfig, settings: &Settings) -> Self {
        // One of many that does not answer may not keep the others waiting for long.
        let (tries, attempt, whole) = match settings.accounts {
            None => (5, Duration::from_secs(30), None),
            Some(_) => (3, Duration::from_secs(10), Some(Duration::from_secs(25))),
        };
        let mut timeouts = TimeoutConfig::builder().operation_attempt_timeout(attempt);
        timeouts.set_operation_timeout(whole);
        // What looks is tried again by the SDK; Stop and Start are not (see `execute`).
        let shared = shared
            .to_builder()
            .retry_config(RetryConfig::standard().with_max_attempts(tries))
            .timeout_config(timeouts.build())
            .build();
        let aws_region = |region: &Region| aws_config::Region::new(region.to_string());
        let home = shared.to_builder().region(settings.home().map(aws_region)).build();
        let ec2 = |region: &Region| {
            let config =
                aws_sdk_ec2::config::Builder::from(&shared).interceptor(TrimInstances).region(aws_region(region));
            (region.clone(), aws_sdk_ec2::Client::from_conf(config.build()))
        };
        let rds = |region: &Region| {
            let config = aws_sdk_rds::config::Builder::from(&shared).region(aws_region(region));
            (region.clone(), aws_sdk_rds::Client::from_conf(config.build()))
        };
        let gate = Arc::new(Semaphore::new(CALLS_AT_ONCE));
        let time = shared.time_source().unwrap_or_default();
        Self {
            ec2: settings.regions.iter().map(ec2).collect(),
            rds: settings.regions.iter().filter(|_| settings.databases).map(rds).collect(),
            hub: settings.accounts.as_ref().map(|accounts| {
                let name = &settings.function_name;
                Arc::new(Hub::new(&home, accounts.clone(), name, gate.clone(), time.clone()))
            }),
            bus: settings.events.then(|| {
                let config = aws_sdk_eventbridge::config::Builder::from(&home)
                    .retry_config(RetryConfig::standard().with_max_attempts(2))
                    .timeout_config(TimeoutConfig::builder().operation_attempt_timeout(Duration::from_secs(1)).build());
                aws_sdk_eventbridge::Client::from_conf(config.build())
            }),
            gate,
            // The clients' own clock, where they were given one: what a test drives there, it drives here.
            time,
            sleep: shared.sleep_impl().unwrap_or_else(|| SharedAsyncSleep::new(TokioSleep::new())),
        }
    }

    /// A clock for a run that must be over `deadline` from now: the clients' own.
    #[must_use]
    pub fn clock(&self, deadline: Duration) -> Clock {
        Clock::start(self.time.clone(), self.sleep.clone(), deadline)
    }

    /// The way into other accounts, where the deployment looks after such.
    #[must_use]
    pub fn hub(&self) -> Option<&Arc<Hub>> {
        self.hub.as_ref()
    }

    /// The event bus, where the deployment tells what it does.
    pub(super) fn bus(&self) -> Option<&aws_sdk_eventbridge::Client> {
        self.bus.as_ref()
    }

    /// EC2 at a place whose region is of the deployment, for a run on this clock; with the credentials of a session where
    /// it is another's.
    #[must_use]
    pub fn open(&self, place: &Place, session: Option<&Credentials>, clock: &Clock) -> Option<Ec2> {
        Some(Ec2 {
            client: self.ec2.get(&place.region)?.clone(),
            spoke: session.map(|session| Spoke::new(place, session)),
            clock: clock.clone(),
            describes: Mutex::new(Bucket::of_describe_instances()),
            gate: self.gate.clone(),
        })
    }

    /// The same for RDS; none where the deployment looks after no databases.
    #[must_use]
    pub fn open_rds(&self, place: &Place, session: Option<&Credentials>, clock: &Clock) -> Option<Rds> {
        Some(Rds {
            client: self.rds.get(&place.region)?.clone(),
            spoke: session.map(|session| Spoke::new(place, session)),
            clock: clock.clone(),
            calls: Mutex::new(Bucket::of_rds()),
            gate: self.gate.clone(),
        })
    }
}

/// The HTTP client for all: the SDK would make one for each client, so that nobody shared a connection. It is what the SDK
/// would take, proxies of the environment included.
pub(super) fn http_client() -> SharedHttpClient {
    Builder::new().build_with_connector_fn(|settings, components| {
        let mut connector = ConnectorBuilder::default().tls_provider(Provider::Rustls(CryptoMode::AwsLc));
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
        connector.set_proxy_config(Some(ProxyConfig::from_env()));
        connector.build()
    })
}

/// What a call into another account has of its own.
#[derive(Debug)]
struct Spoke {
    credentials: SharedCredentialsProvider,
    /// The SDK's budget of tries is one for a region in all the process: without this an account that fails would take
    /// the others' tries.
    budget: RetryPartition,
}

impl Spoke {
    fn new(place: &Place, session: &Credentials) -> Self {
        Self {
            credentials: SharedCredentialsProvider::new(session.clone()),
            budget: RetryPartition::custom(place.to_string()).build(),
        }
    }
}

/// EC2 at one place, for one run.
#[derive(Debug)]
pub struct Ec2 {
    pub(super) client: aws_sdk_ec2::Client,
    spoke: Option<Spoke>,
    pub(super) clock: Clock,
    describes: Mutex<Bucket>,
    gate: Arc<Semaphore>,
}

impl Ec2 {
    /// The way through the gate, once there is a token for a `DescribeInstances` call. Whoever holds it has a call under
    /// way, or waits to try it again.
    pub(super) async fn to_describe(&self) -> Option<SemaphorePermit<'_>> {
        // A bucket that somebody panicked over still counts.
        let ready = take_one(&mut self.describes.lock().unwrap_or_else(PoisonError::into_inner), &self.clock);
        self.clock.wait_until(ready).await;
        self.through_gate().await
    }

    /// The way through the gate for a call that draws from no bucket here. It is never closed.
    pub(super) async fn through_gate(&self) -> Option<SemaphorePermit<'_>> {
        self.gate.acquire().await.ok()
    }

    /// What every call here overrides in the client that it shares with other accounts.
    pub(super) fn config(&self) -> aws_sdk_ec2::config::Builder {
        let mut config = aws_sdk_ec2::Config::builder();
        if let Some(spoke) = &self.spoke {
            config.set_credentials_provider(Some(spoke.credentials.clone()));
            config.set_retry_partition(Some(spoke.budget.clone()));
        }
        config
    }
}

/// RDS at one place, for one run.
#[derive(Debug)]
pub struct Rds {
    pub(super) client: aws_sdk_rds::Client,
    spoke: Option<Spoke>,
    pub(super) clock: Clock,
    /// All calls draw from one, and so do all tools of the account.
    calls: Mutex<Bucket>,
    gate: Arc<Semaphore>,
}

impl Rds {
    /// When there is, or was, a token for a call.
    pub(super) fn token_at(&self) -> Duration {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).has_at(1)
    }

    /// Takes the token of a call; the instant is that from which on the call may go out.
    pub(super) fn take_token(&self) -> Duration {
        take_one(&mut self.calls.lock().unwrap_or_else(PoisonError::into_inner), &self.clock)
    }

    /// The way through the gate, once there is a token for a call.
    pub(super) async fn to_call(&self) -> Option<SemaphorePermit<'_>> {
        let ready = self.take_token();
        self.clock.wait_until(ready).await;
        self.through_gate().await
    }

    /// The way through the gate for a call whose token is yet to be taken.
    pub(super) async fn through_gate(&self) -> Option<SemaphorePermit<'_>> {
        self.gate.acquire().await.ok()
    }

    /// What every call here overrides in the client that it shares with other accounts.
    pub(super) fn config(&self) -> aws_sdk_rds::config::Builder {
        let mut config = aws_sdk_rds::Config::builder();
        if let Some(spoke) = &self.spoke {
            config.set_credentials_provider(Some(spoke.credentials.clone()));
            config.set_retry_partition(Some(spoke.budget.clone()));
        }
        config
    }
}
