//! What RDS tells of a database, and what that comes to: its state, and what forbids any action.
//!
//! Sources: <https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/accessing-monitoring.html>,
//! <https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_StopInstance.html>,
//! <https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/aurora-cluster-stop-start.html>

use crate::reason::Why;
use crate::resource::{Kind, State};

/// It runs, and takes no call.
const BUSY: [&str; 18] = [
    "backing-up",
    "backtracking",
    "converting-to-vpc",
    "failing-over",
    "maintenance",
    "migrating",
    "modifying",
    "moving-to-vpc",
    "promoting",
    "rebooting",
    "renaming",
    "resetting-master-credentials",
    "storage-config-upgrade",
    "storage-initialization",
    "storage-optimization",
    "update-iam-db-auth",
    "updating",
    "upgrading",
];
/// Somebody has to mend it.
const UNHEALTHY: [&str; 9] = [
    "cloning-failed",
    "failed",
    "inaccessible-encryption-credentials",
    "inaccessible-encryption-credentials-recoverable",
    "insufficient-capacity",
    "migration-failed",
    "restore-error",
    "storage-full",
    "incompatible-restore",
];

/// What RDS tells of one database.
#[derive(Debug, Clone, Copy)]
pub struct Told<'a> {
    /// A DB instance, or a cluster.
    pub kind: Kind,
    /// RDS's word for its state.
    pub status: &'a str,
    /// Such as `postgres`, `sqlserver-se` or `aurora-mysql`.
    pub engine: &'a str,
    /// Such as `provisioned` or `serverless`; only clusters have one.
    pub engine_mode: &'a str,
    /// Whether it has a standby in another zone.
    pub multi_az: bool,
    /// The cluster that it is a member of.
    pub member_of: Option<&'a str>,
    /// Whether it is a read replica, or has one.
    pub replicates: bool,
}

/// What a status comes to. One that this version does not know is taken to be on its way.
#[must_use]
pub fn state(status: &str) -> State {
    let status = status.to_ascii_lowercase();
    match status.as_str() {
        "available" => State::Running,
        "stopped" => State::Stopped,
        "starting" | "creating" => State::Pending,
        "stopping" => State::Stopping,
        "deleting" | "delete-precheck" | "deleted" => State::ShuttingDown,
        busy if BUSY.contains(&busy) || busy.starts_with("configuring-") => State::Busy,
        _ => State::Unknown,
    }
}

/// Whether a status is a fault that somebody has to mend.
#[must_use]
pub fn is_unhealthy(status: &str) -> bool {
    let status = status.to_ascii_lowercase();
    UNHEALTHY.contains(&status.as_str()) || status.starts_with("incompatible-")
}

impl Told<'_> {
    /// What forbids any action, each with its reason, in no order.
    pub fn forbids(self) -> impl Iterator<Item = Why> {
        let member = self.member_of.map(|cluster| Why::ClusterMember(cluster.into()));
        let replica = self.replicates.then_some(Why::ReadReplica);
        let engine = self.engine_that_cannot_stop().map(Why::EngineCannotStop);
        let unhealthy = is_unhealthy(self.status).then(|| Why::Unhealthy(self.status.into()));
        [member, replica, engine, unhealthy].into_iter().flatten()
    }

    fn engine_that_cannot_stop(self) -> Option<&'static str> {
        let engine = self.engine.to_ascii_lowercase();
        let is = |start: &str| engine.starts_with(start);
        match self.kind {
            Kind::Cluster if is("aurora") && self.engine_mode.eq_ignore_ascii_case("serverless") => {
                Some("Aurora Serverless v1")
            }
            Kind::Cluster if !(is("aurora") || is("docdb") || is("neptune")) => Some("a Multi-AZ DB cluster"),
            Kind::Db if is("sqlserver") && self.multi_az => Some("SQL Server in Multi-AZ"),
            Kind::Db if is("custom-sqlserver") && self.multi_az => Some("RDS Custom for SQL Server in Multi-AZ"),
            Kind::Db if is("custom-oracle") => Some("RDS Custom for Oracle"),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reason::Reason;

    const PLAIN: Told<'_> = Told {
        kind: Kind::Db,
        status: "available",
        engine: "postgres",
        engine_mode: "",
        multi_az: false,
        member_of: None,
        replicates: false,
    };

    #[test]
    fn statuses() {
        for (status, expected) in [
            ("available", State::Running),
            ("Available", State::Running),
            ("stopped", State::Stopped),
            ("starting", State::Pending),
            ("stopping", State::Stopping),
            ("deleting", State::ShuttingDown),
            ("backing-up", State::Busy),
            ("configuring-log-exports", State::Busy),
            ("storage-optimization", State::Busy),
            ("storage-full", State::Unknown),
            ("something-new", State::Unknown),
            ("", State::Unknown),
        ] {
            assert_eq!(state(status), expected, "{status}");
        }
        for status in
            ["failed", "incompatible-network", "Storage-Full", "inaccessible-encryption-credentials-recoverable"]
        {
            assert!(is_unhealthy(status) && state(status) == State::Unknown, "{status}");
        }
        assert!(!is_unhealthy("available") && !is_unhealthy("something-new"));
    }

    #[test]
    fn what_is_never_sent() {
        let cluster = Told { kind: Kind::Cluster, engine: "aurora-mysql", engine_mode: "provisioned", ..PLAIN };
        for (told, expected) in [
            (PLAIN, &[][..]),
            (Told { multi_az: true, ..PLAIN }, &[]),
            (Told { member_of: Some("orders"), ..PLAIN }, &[Reason::ClusterMember]),
            (Told { replicates: true, ..PLAIN }, &[Reason::ReadReplica]),
            (Told { engine: "sqlserver-se", ..PLAIN }, &[]),
            (Told { engine: "sqlserver-se", multi_az: true, ..PLAIN }, &[Reason::CannotStop]),
            (Told { engine: "custom-oracle-ee", ..PLAIN }, &[Reason::CannotStop]),
            (Told { engine: "custom-sqlserver-ee", multi_az: true, ..PLAIN }, &[Reason::CannotStop]),
            (Told { status: "incompatible-network", ..PLAIN }, &[Reason::Unhealthy]),
            (cluster, &[]),
            (Told { engine: "docdb", ..cluster }, &[]),
            (Told { engine: "neptune", ..cluster }, &[]),
            (Told { engine_mode: "serverless", ..cluster }, &[Reason::CannotStop]),
            (Told { engine: "postgres", ..cluster }, &[Reason::CannotStop]),
            (Told { engine: "mysql", replicates: true, ..cluster }, &[Reason::ReadReplica, Reason::CannotStop]),
        ] {
            let reasons: Vec<Reason> = told.forbids().map(|why| why.reason()).collect();
            assert_eq!(reasons, expected, "{told:?}");
        }
    }
}
