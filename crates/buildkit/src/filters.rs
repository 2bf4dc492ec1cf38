//! What filters of the cache's records look at, in records of this protocol.

use corten_build::Facts;

use crate::proto::control::UsageRecord;

/// A record's facts.
pub(crate) fn facts(record: &UsageRecord) -> Facts {
    Facts {
        id: record.id.clone(),
        kind: record.record_type.clone(),
        description: record.description.clone(),
        in_use: record.in_use,
        mutable: record.mutable,
        shared: record.shared,
    }
}
