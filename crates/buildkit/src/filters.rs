//! Filters of the cache's records, in containerd's words: `type==regular,inuse==false`. Several are alternatives.

use crate::{
    grpc::{Result, Status},
    proto::control::UsageRecord,
};

/// What records are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Filters(Vec<Vec<Condition>>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Condition {
    field: String,
    equal: bool,
    value: String,
}

const FIELDS: &[&str] = &[
    "id",
    "type",
    "description",
    "inuse",
    "mutable",
    "immutable",
    "shared",
    "private",
];

impl Filters {
    /// Reads filters.
    pub(crate) fn read(filters: &[String]) -> Result<Self> {
        let given = filters.iter().filter(|filter| !filter.is_empty());
        let read = given.map(|filter| filter.split(',').map(condition).collect::<Result<Vec<_>>>());
        Ok(Self(read.collect::<Result<_>>()?))
    }

    /// Whether all records are wanted.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a record is wanted.
    pub(crate) fn accept(&self, record: &UsageRecord) -> bool {
        let meets = |condition: &Condition| condition.is_met(record);
        self.0.is_empty() || self.0.iter().any(|all| all.iter().all(meets))
    }

    /// Whether they ask for nothing but kinds.
    pub(crate) fn accept_kind_alone(&self) -> bool {
        self.0.iter().flatten().all(|condition| condition.field == "type")
    }

    /// Whether records of a kind may be wanted.
    pub(crate) fn accept_kind(&self, kind: &str) -> bool {
        self.accept(&UsageRecord {
            record_type: kind.to_owned(),
            ..UsageRecord::default()
        })
    }
}

fn condition(text: &str) -> Result<Condition> {
    let refused = || Status::unimplemented(format!("filter {text:?} is not supported"));
    let (field, equal, value) = match (text.split_once("=="), text.split_once("!=")) {
        (Some((field, value)), _) => (field, true, value),
        (None, Some((field, value))) => (field, false, value),
        // A field alone: it is set.
        (None, None) if !text.contains(['=', '~']) => (text, true, "true"),
        (None, None) => return Err(refused()),
    };
    let field = field.trim().to_lowercase();
    if !FIELDS.contains(&field.as_str()) {
        return Err(refused());
    }
    Ok(Condition {
        field,
        equal,
        value: value.trim().trim_matches('"').to_owned(),
    })
}

impl Condition {
    fn is_met(&self, record: &UsageRecord) -> bool {
        let has = match self.field.as_str() {
            "id" => record.id.clone(),
            "type" => record.record_type.clone(),
            "description" => record.description.clone(),
            "inuse" => record.in_use.to_string(),
            "mutable" => record.mutable.to_string(),
            "immutable" => (!record.mutable).to_string(),
            "shared" => record.shared.to_string(),
            _ => (!record.shared).to_string(),
        };
        (has == self.value) == self.equal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_met_together_and_filters_apart() {
        let record = UsageRecord {
            id: "x".into(),
            record_type: "regular".into(),
            shared: true,
            ..UsageRecord::default()
        };
        let accepts = |filters: &[&str]| {
            let filters: Vec<String> = filters.iter().map(|filter| (*filter).to_owned()).collect();
            Filters::read(&filters).map(|filters| filters.accept(&record))
        };
        for (filters, expected) in [
            (&["type==regular,shared==true"][..], true),
            (&["type==regular,shared==false"], false),
            (&["id==y", "id==x"], true),
            (&["type!=regular"], false),
            (&["shared"], true),
            (&["private"], false),
            (&[""], true),
        ] {
            assert_eq!(accepts(filters), Ok(expected), "{filters:?}");
        }
        assert!(accepts(&["nosuch==1"]).is_err() && accepts(&["id~=x"]).is_err());
    }
}
