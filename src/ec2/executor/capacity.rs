//! Where capacity lacks: which pools are full, and how a batch that met a lack is parted.
//!
//! EC2 starts all of a call or nothing, so a call for more than there is room for has to be made smaller until what
//! fits is started. A lack is that of a pool; and pools are narrower than EC2 tells, so a pool counts as full only
//! until something of it passes.
//!
//! Source: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/troubleshooting-launch.html>

use std::collections::BTreeSet;

/// The pools in which one instance alone found no room.
#[derive(Debug)]
pub(super) struct Full<Pool>(BTreeSet<Pool>);

impl<Pool> Default for Full<Pool> {
    fn default() -> Self {
        Self(BTreeSet::new())
    }
}

/// What to do with a batch that met a lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// There is none for any of it.
    None,
    /// There may be for the first so many of it, or for the others.
    PartAt(usize),
}

impl<Pool: Clone + Ord> Full<Pool> {
    /// What becomes of a batch of at least one, whose members need these pools, those of one pool side by side.
    pub(super) fn room_for(&mut self, pools: &[Pool]) -> Room {
        if pools.len() == 1 || pools.iter().all(|pool| self.0.contains(pool)) {
            self.0.extend(pools.iter().cloned());
            return Room::None;
        }
        let middle = pools.len() / 2;
        let borders = (1..pools.len()).filter(|at| pools[at - 1] != pools[*at]);
        Room::PartAt(borders.min_by_key(|at| at.abs_diff(middle)).unwrap_or(middle))
    }

    /// Something of this pool has passed.
    pub(super) fn passed(&mut self, pool: &Pool) {
        self.0.remove(pool);
    }
}
