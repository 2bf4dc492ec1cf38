//! Filters of the cache's records, in containerd's words: `type==regular,inuse==false`. Conditions with a
//! comma between them are met together; several filters are alternatives.

use crate::error::{Error, Result};

/// Which records are wanted; all, when there is no filter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filters(Vec<Vec<Condition>>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Condition {
    field: String,
    relation: Relation,
    value: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Relation {
    Equal,
    Unequal,
    Contains,
}

/// What filters look at of a record.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// Its id.
    pub id: String,
    /// `regular`, `exec.cachemount`, `source.local`.
    pub kind: String,
    /// What made it.
    pub description: String,
    /// Whether a build uses it now.
    pub in_use: bool,
    /// Whether builds write to it.
    pub mutable: bool,
    /// Whether an image has it too.
    pub shared: bool,
}

impl Filters {
    /// What records can be asked for.
    pub const FIELDS: [&str; 8] = [
        "id",
        "type",
        "description",
        "inuse",
        "mutable",
        "immutable",
        "shared",
        "private",
    ];

    /// Reads filters.
    ///
    /// # Errors
    /// Unsupported for fields and relations that are not there.
    pub fn read<S: AsRef<str>>(filters: impl IntoIterator<Item = S>) -> Result<Self> {
        let mut read = Vec::new();
        for filter in filters {
            let filter = filter.as_ref();
            if !filter.is_empty() {
                read.push(filter.split(',').map(condition).collect::<Result<Vec<_>>>()?);
            }
        }
        Ok(Self(read))
    }

    /// Whether all records are wanted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a record is wanted.
    #[must_use]
    pub fn accept(&self, facts: &Facts) -> bool {
        let meets = |condition: &Condition| condition.is_met(facts);
        self.0.is_empty() || self.0.iter().any(|all| all.iter().all(meets))
    }
}

fn condition(text: &str) -> Result<Condition> {
    let refused = || Error::unsupported(format!("filter {text:?} is not supported"));
    let relations = [
        ("==", Relation::Equal),
        ("!=", Relation::Unequal),
        ("~=", Relation::Contains),
    ];
    let found = relations
        .iter()
        .find_map(|(sign, relation)| text.split_once(sign).map(|(field, value)| (field, *relation, value)));
    let (field, relation, value) = match found {
        Some(found) => found,
        // A field alone: it is set.
        None if !text.contains('=') => (text, Relation::Equal, "true"),
        None => return Err(refused()),
    };
    let (field, value) = (field.trim().to_lowercase(), value.trim().trim_matches('"'));
    let is_pattern = value.contains(['*', '+', '?', '[', '(', '|', '^', '$', '\\']);
    if !Filters::FIELDS.contains(&field.as_str()) || (relation == Relation::Contains && is_pattern) {
        return Err(refused());
    }
    Ok(Condition {
        field,
        relation,
        value: value.to_owned(),
    })
}

impl Condition {
    fn is_met(&self, facts: &Facts) -> bool {
        let has = match self.field.as_str() {
            "id" => facts.id.clone(),
            "type" => facts.kind.clone(),
            "description" => facts.description.clone(),
            "inuse" => facts.in_use.to_string(),
            "mutable" => facts.mutable.to_string(),
            "immutable" => (!facts.mutable).to_string(),
            "shared" => facts.shared.to_string(),
            _ => (!facts.shared).to_string(),
        };
        match self.relation {
            Relation::Equal => has == self.value,
            Relation::Unequal => has != self.value,
            Relation::Contains => has.contains(&self.value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_met_together_and_filters_apart() {
        let record = Facts {
            id: "abc".into(),
            kind: "regular".into(),
            shared: true,
            ..Facts::default()
        };
        let accepts = |filters: &[&str]| Filters::read(filters).map(|filters| filters.accept(&record));
        for (filters, expected) in [
            (&["type==regular,shared==true"][..], true),
            (&["type==regular,shared==false"], false),
            (&["id==y", "id==abc"], true),
            (&["id~=b"], true),
            (&["id~=x"], false),
            (&["type!=regular"], false),
            (&["shared"], true),
            (&["private"], false),
            (&["immutable,inuse==false"], true),
            (&[""], true),
        ] {
            assert_eq!(accepts(filters).unwrap(), expected, "{filters:?}");
        }
        for refused in ["nosuch==1", "id~=x.*", "parents==x", "id=x"] {
            assert!(accepts(&[refused]).is_err(), "{refused}");
        }
    }
}
